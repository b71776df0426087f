"""Clients of both services, on Twisted, which the tools are built from."""
