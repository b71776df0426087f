"""The daemon's own questions, as its health check puts them, told from those of clients by where they come from.

The check binds an address and a port, says so here, and only then asks. Nobody else on the host can come from there.
"""

from __future__ import annotations

import ipaddress

from echotime.servers.traffic import Counters

Source = tuple[str, int]
"""Address and port."""


class OwnQuestions:
    """Where questions of our own are expected from, and whether they came; but for moments, nowhere."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self.expected: dict[Source, bool] = {}
        """Whether one came from there. Who is in a hurry looks whether there are any, before asking `takes`."""

    def expect(self, source: Source) -> None:
        """One will come from there."""
        self.expected[_plain(source)] = False

    def arrived(self, source: Source) -> bool:
        """Whether one has come from there."""
        return self.expected.get(_plain(source), False)

    def forget(self, source: Source) -> None:
        """None will come from there any more."""
        self.expected.pop(_plain(source), None)

    def takes(self, source: Source) -> bool:
        """Whether what came from there is one. It counts once, however often it is asked."""
        plain = _plain(source)
        if plain not in self.expected:
            return False
        self._counters.health_checks += not self.expected[plain]
        self.expected[plain] = True
        return True


def _plain(source: Source) -> Source:
    """Without the interface of a link-local address, and IPv4 as IPv4: both ends name them differently."""
    address = ipaddress.ip_address(source[0].partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), source[1]
