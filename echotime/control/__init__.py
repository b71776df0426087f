"""The control socket: its commands, its server, and the interface to the running daemon."""
