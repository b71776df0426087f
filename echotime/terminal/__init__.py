"""Terminals and other shared descriptors, which must not be switched to O_NONBLOCK."""
