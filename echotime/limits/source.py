"""Map a client's address to its source, the unit that limits count by."""

from __future__ import annotations

import socket
from functools import lru_cache

_CACHE_SIZE = 4096
_IPV4_MAPPED = bytes.fromhex("0000 0000 0000 0000 0000 ffff")
"""The prefix ::ffff:0:0/96."""
_NAT64 = bytes.fromhex("0064 ff9b 0000 0000 0000 0000")
"""The prefix 64:ff9b::/96, IPv4 clients behind a translator (RFC 6052). A loopback address in it is forged."""
_LOOPBACK = socket.inet_pton(socket.AF_INET6, "::1")


@lru_cache(_CACHE_SIZE)
def source_key(host: str) -> str:
    """Return the source of a numeric address: an IPv4 address, or the /64 network of a global IPv6 address.

    Every host of a /64 can use as many of its addresses as it wants (RFC 8981), and a customer has at least a /64. An
    IPv4 address that is mapped into IPv6, or translated by NAT64, counts as the IPv4 address. Link-local addresses and
    ``::1`` are returned as they are.
    """
    if ":" not in host:
        return host
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    prefix, last = packed[:12], packed[12:]
    if prefix == _IPV4_MAPPED or (prefix == _NAT64 and last[0] != 127):
        return socket.inet_ntoa(last)
    if packed == _LOOPBACK or (packed[0] == 0xFE and packed[1] & 0xC0 == 0x80):
        return host
    return f"{socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8))}/64"


def is_loopback(source: str) -> bool:
    """Return True if a source is a loopback address of this host.

    Linux delivers packets from elsewhere with such a source in exceptional configurations only (docs/security.md).
    """
    return source == "::1" or source.startswith("127.")
