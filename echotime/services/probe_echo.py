"""ProbeEchoFactory: serve the health check's own TCP connections with EchoProtocol, without log and limits.

A probe is recognized by its source address and port. The check binds a socket, registers its address in the
ProbeRegistry, and only then connects.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from echotime.counters import ServiceCounters
from echotime.services.echo_factory import EchoFactory
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import SilentTraffic

HostPort = tuple[str, int]
"""Address and port."""


class ProbeRegistry:
    """Hold the source addresses of probes that have not been accepted yet."""

    def __init__(self, counters: ServiceCounters) -> None:
        self._counters = counters
        self.expected: set[HostPort] = set()
        """Check that the set is not empty before calling `claim`, which takes microseconds."""

    def expect(self, source: HostPort) -> None:
        """Expect one connection from `source`."""
        self.expected.add(_normalize(source))

    def is_expected(self, source: HostPort) -> bool:
        """Return True if the connection from `source` has not been accepted."""
        return _normalize(source) in self.expected

    def discard(self, source: HostPort) -> None:
        """Stop expecting a connection from `source`."""
        self.expected.discard(_normalize(source))

    def claim(self, source: HostPort) -> bool:
        """Return True if an accepted connection from `source` is the expected one. The next one is a client's."""
        normalized = _normalize(source)
        if normalized not in self.expected:
            return False
        self.expected.remove(normalized)
        self._counters.health_checks += 1
        return True


class ProbeEchoFactory(EchoFactory):
    """Make the protocols of probes, with the trailer that the clients of `factory` get.

    Probes have no reply source. No access list and no limit applies to them, and they count as health checks only.
    """

    def __init__(self, factory: EchoFactory) -> None:
        super().__init__(SilentTraffic(factory.traffic.clock), factory.trailer)
        self.registry = ProbeRegistry(factory.traffic.counters)
        self.expected = self.registry.expected

    def buildProtocol(self, addr: Any) -> EchoProtocol | None:  # type: ignore[override]  # as EchoFactory's
        """Return a protocol for a probe, None for a connection of a client."""
        if not self.expected or not self.registry.claim((addr.host, addr.port)):
            return None
        return self.admit(addr)


def _normalize(source: HostPort) -> HostPort:
    """Unmap an IPv4 address, which the two ends write differently."""
    address = ipaddress.ip_address(source[0])
    ipv4_mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(ipv4_mapped or address), source[1]
