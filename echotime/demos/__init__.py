"""Demonstrations of socket options with real sockets on loopback, as `echotime explain` shows them."""
