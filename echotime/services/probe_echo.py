"""What serves the connections of our own health check: EchoProtocol, like everybody's, with nobody told of it."""

from __future__ import annotations

from typing import Any

from echotime.services.probe_registry import ProbeRegistry
from echotime.services.replies import NoReply
from echotime.services.tcp_echo import EchoFactory, EchoProtocol
from echotime.services.traffic import LoggedConnection, TrafficLog


class ProbeEchoFactory(EchoFactory):
    """Makes the protocols of our own connections, beside `factory`, whose acknowledgement and fixed word it has.

    No operator is asked, no access and no limit concerns them, and they are counted as health checks only.
    """

    def __init__(self, factory: EchoFactory) -> None:
        super().__init__(NoReply(), _SilentTraffic(factory.traffic.clock, 0), factory.trailer)
        self.registry = ProbeRegistry(factory.traffic.counters)
        self.expected = self.registry.expected

    def buildProtocol(self, addr: Any) -> EchoProtocol | None:  # type: ignore[override]  # as EchoFactory's
        """Return a protocol for a connection of our own, None for a client's."""
        return super().buildProtocol(addr) if self.registry.claim((addr.host, addr.port)) else None


class _SilentTraffic(TrafficLog):
    """Nobody sees it."""

    def connection_opened(self, connection: LoggedConnection) -> None:
        """Not told."""

    def message_received(self, connection: LoggedConnection, message: bytes) -> None:
        """Not shown."""

    def connection_closed(self, connection: LoggedConnection, ended_by: str) -> None:
        """Not counted."""
