"""Who asks at the desk."""

from __future__ import annotations

from twisted.internet.address import IPv4Address


def peer(port: int = 1945, host: str = "192.0.2.1") -> IPv4Address:
    """Who asks."""
    return IPv4Address("TCP", host, port)
