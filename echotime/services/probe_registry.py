"""Tells the health check's own TCP connections from those of clients, by the address and port they come from.

The check binds an address and a port, has that source expected here, and only then connects.
"""

from __future__ import annotations

import ipaddress

from echotime.counters import ServiceCounters

HostPort = tuple[str, int]
"""Address and port."""


class ProbeRegistry:
    """Holds the sources of questions that have not been accepted yet."""

    def __init__(self, counters: ServiceCounters) -> None:
        self._counters = counters
        self.expected: set[HostPort] = set()
        """Look whether it is empty before calling `claim`, which costs microseconds for each connection."""

    def expect(self, source: HostPort) -> None:
        """Expect one connection from there."""
        self.expected.add(_normalize(source))

    def is_expected(self, source: HostPort) -> bool:
        """Return True if the connection from there has not been accepted."""
        return _normalize(source) in self.expected

    def discard(self, source: HostPort) -> None:
        """Expect no connection from there any more."""
        self.expected.discard(_normalize(source))

    def claim(self, source: HostPort) -> bool:
        """Return True if a connection that was just accepted from there is the expected one; the next is a client's."""
        normalized = _normalize(source)
        if normalized not in self.expected:
            return False
        self.expected.remove(normalized)
        self._counters.health_checks += 1
        return True


def _normalize(source: HostPort) -> HostPort:
    """Leave out the interface of a link-local address, and write IPv4 as IPv4: both ends name them differently."""
    address = ipaddress.ip_address(source[0].partition("%")[0])
    ipv4_mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(ipv4_mapped or address), source[1]
