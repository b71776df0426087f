"""Provide the address of a TCP client that has a question."""

from __future__ import annotations

from twisted.internet.address import IPv4Address


def peer(port: int = 1945, host: str = "192.0.2.1") -> IPv4Address:
    """Return the address of a TCP client."""
    return IPv4Address("TCP", host, port)
