"""What serves the connections of our own health check: EchoProtocol, like everybody's, with nobody told of it."""

from __future__ import annotations

from typing import Any

from echotime.servers.echo import EchoFactory, EchoProtocol
from echotime.servers.own_questions import OwnQuestions
from echotime.servers.replies import NoWords
from echotime.servers.traffic import Talker, Traffic


class HealthFactory(EchoFactory):
    """Makes the protocols of our own connections, beside `factory`, whose acknowledgement and fixed word it has.

    No operator is asked, no access and no limit concerns them, and they are counted as health checks only.
    """

    def __init__(self, factory: EchoFactory) -> None:
        super().__init__(NoWords(), _Unseen(factory.traffic.clock, 0), factory.after_each)
        self.own = OwnQuestions(factory.traffic.counters)
        self.expected = self.own.expected

    def buildProtocol(self, addr: Any) -> EchoProtocol | None:  # type: ignore[override]  # as EchoFactory's
        """Return a protocol for a connection of our own, None for a client's."""
        return super().buildProtocol(addr) if self.own.takes((addr.host, addr.port)) else None


class _Unseen(Traffic):
    """Nobody sees it."""

    def began(self, talker: Talker) -> None:
        """Not told."""

    def message(self, talker: Talker, message: bytes) -> None:
        """Not shown."""

    def ended(self, talker: Talker, how: str) -> None:
        """Not counted."""
