"""Twisted Ports and connections with socket options: what both services listen on."""
