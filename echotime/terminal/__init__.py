"""Terminals and other shared descriptors, which must not be switched to O_NONBLOCK, and what is shown on them."""
