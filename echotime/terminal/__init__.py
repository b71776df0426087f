"""Terminals and other shared descriptors, which must not be switched to O_NONBLOCK, and the layout of text."""
