"""BehavingTimeProtocol: a TimeProtocol whose answers pass through a behavior."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime

from echotime.behave.kinds import UDP_KINDS
from echotime.behave.spec import Behavior
from echotime.services.udp_time import TimeProtocol


class BehavingTimeProtocol(TimeProtocol):
    """Serve one UDP listener of --behave. Its port must pass each datagram whole, as SingleDatagramPort does.

    `on_stopped` is called when the port is closed. The other parameters are those of TimeProtocol.
    """

    def __init__(
        self,
        *args: Any,
        behavior: Behavior,
        reactor: IReactorTime,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._reactor = reactor
        self._behavior = self._make(behavior)

    def _make(self, behavior: Behavior) -> Any:
        return UDP_KINDS[behavior.kind](behavior, self._send, self._reactor)

    def set_behavior(self, behavior: Behavior) -> None:
        """Give another behavior to the datagrams that arrive from now on."""
        self._behavior.stop()
        self._behavior = self._make(behavior)

    def respond(self, datagram: bytes, response: bytes, addr: Any) -> None:
        self._behavior.handle(datagram, response, addr)

    def _send(self, datagram: bytes, addr: Any) -> None:
        if self.transport is not None:
            self.transport.write(datagram, addr)

    def stopProtocol(self) -> None:
        self._behavior.stop()
        if self._log is not None:
            self._log.remove_policy(self.policy)
