"""Terminals and other descriptors that must not be switched to O_NONBLOCK."""
