"""Who counts as one source: what limits by source are kept for."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

_CACHE_SIZE = 4096
_PREFIX_LENGTH = 64
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 clients by way of a translator (RFC 6052). A loopback address in one is forged."""


@lru_cache(_CACHE_SIZE)
def source_key(host: str) -> str:
    """The source that a numeric address belongs to: the address, or for global IPv6 the network of 64 bits around it.

    Every host of such a network can have as many of its addresses as it wants (RFC 8981), and a customer has at least
    one network. An IPv4 address that is mapped into IPv6, or translated, is the IPv4 one.
    """
    if ":" not in host:
        return host
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    if address in _NAT64 and not (inner := ipaddress.IPv4Address(int(address) % 2**32)).is_loopback:
        return str(inner)
    if address.is_link_local or address.is_loopback:
        return host
    return str(ipaddress.ip_network((address, _PREFIX_LENGTH), strict=False))


def is_loopback(source: str) -> bool:
    """Whether a source is this host itself, by an address that cannot come from elsewhere, and so not be forged."""
    return source == "::1" or source.startswith("127.")
