"""Implement `echotime control`: a client for the daemon's control socket, with a prompt."""
