"""Implement the TCP and UDP clients that the tools are built from."""
