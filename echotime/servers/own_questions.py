"""Tells the health check's own TCP connections from those of clients, by the address and port they come from.

The check binds an address and a port, has that source expected here, and only then connects.
"""

from __future__ import annotations

import ipaddress

from echotime.servers.traffic import Counters

Source = tuple[str, int]
"""Address and port."""


class OwnQuestions:
    """Holds the sources of questions that have not been accepted yet."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.expected: set[Source] = set()
        """Look whether it is empty before calling `takes`, which costs microseconds for each connection."""

    def expect(self, source: Source) -> None:
        """Expect one connection from there."""
        self.expected.add(_plain(source))

    def expects(self, source: Source) -> bool:
        """Return True if the connection from there has not been accepted."""
        return _plain(source) in self.expected

    def forget(self, source: Source) -> None:
        """Expect no connection from there any more."""
        self.expected.discard(_plain(source))

    def takes(self, source: Source) -> bool:
        """Return True if a connection that was just accepted from there is the expected one; the next is a client's."""
        plain = _plain(source)
        if plain not in self.expected:
            return False
        self.expected.remove(plain)
        self._counters.health_checks += 1
        return True


def _plain(source: Source) -> Source:
    """Leave out the interface of a link-local address, and write IPv4 as IPv4: both ends name them differently."""
    address = ipaddress.ip_address(source[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), source[1]
