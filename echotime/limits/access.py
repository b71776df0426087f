"""Access lists: decide by a client's address whether it is served. No name is looked up."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Container, Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_IPV4_MAPPED = 0xFFFF
"""The first 96 bits of an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2)."""


class Networks:
    """Hold a set of networks. A look-up takes the same time for one network and for many."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self.prefixes: dict[tuple[int, int], set[int]] = {}
        """The prefixes by IP version (4 or 6) and prefix length, as integers of that length in bits."""
        for each in networks:
            self.add(each)

    def add(self, network: Network) -> None:
        prefix_key, prefix = _prefix_of(network)
        self.prefixes.setdefault(prefix_key, set()).add(prefix)

    def __contains__(self, network: Network) -> bool:
        """Return True if exactly this network was added; a larger network that contains it does not count."""
        prefix_key, prefix = _prefix_of(network)
        return prefix in self.prefixes.get(prefix_key, ())

    def __len__(self) -> int:
        return sum(map(len, self.prefixes.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Networks) and self.prefixes == other.prefixes

    __hash__ = None  # type: ignore[assignment]  # networks can be added


def _prefix_of(network: Network) -> tuple[tuple[int, int], int]:
    """Return IP version and prefix length, and the prefix."""
    host_bits = network.max_prefixlen - network.prefixlen
    return (network.version, network.prefixlen), int(network.network_address) >> host_bits


class AccessList:
    """Decide by the most specific network that contains a client's address.

    A client in no network is served, unless the list of allowed networks has an entry. A network that is both allowed
    and denied is denied. The networks are not copied, so creating an AccessList takes no time.
    """

    def __init__(self, allow: Networks | None = None, deny: Networks | None = None) -> None:
        allowed = Networks() if allow is None else allow
        denied = Networks() if deny is None else deny
        self.restricts = bool(allowed or denied)
        """True if a client may be refused."""
        self._default = not allowed
        self._ipv4: list[tuple[int, Container[int], Container[int]]] = []
        self._ipv6: list[tuple[int, Container[int], Container[int]]] = []
        for version, length in sorted(allowed.prefixes.keys() | denied.prefixes.keys(), reverse=True):
            rules, bits = (self._ipv4, 32) if version == 4 else (self._ipv6, 128)
            prefix_key = version, length
            rules.append((bits - length, allowed.prefixes.get(prefix_key, ()), denied.prefixes.get(prefix_key, ())))

    @classmethod
    def only(cls, networks: Networks) -> AccessList | None:
        """Return the list that admits the addresses of `networks` and no others, None if there are no networks."""
        return cls(networks) if networks else None

    def admits(self, host: str) -> bool:
        """Return True if the client at a numeric address is served.

        An IPv4-mapped IPv6 address counts as the IPv4 address. Raises OSError if the address is not numeric.

        Results are not cached: a sender of forged datagrams changes its address each time.
        """
        if ":" in host:
            number = int.from_bytes(socket.inet_pton(socket.AF_INET6, host.partition("%")[0]), "big")
            rules = self._ipv6
            if number >> 32 == _IPV4_MAPPED:
                number, rules = number & 0xFFFFFFFF, self._ipv4
        else:
            number, rules = int.from_bytes(socket.inet_pton(socket.AF_INET, host), "big"), self._ipv4
        for host_bits, allowed, denied in rules:
            prefix = number >> host_bits
            if prefix in denied:
                return False
            if prefix in allowed:
                return True
        return self._default
