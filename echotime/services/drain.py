"""The end of the TCP service: every connection gets what it is owed, for a bounded time, and is closed.

A connection that is owed nothing and sent nothing for a tick, while it was read from, is closed. One that is
still busy, does not read, or awaits its word goes on until the time is over, and is then reset, so that the client
knows that something is missing.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from echotime.logger import Logger
from echotime.services.tcp_echo import EchoFactory, EchoProtocol

QUIET_INTERVAL = 0.25
"""Seconds a connection must have been quiet: more than most round trips, and more than a turn of the reactor."""


class Drain:
    """Ends the connections of one factory within `seconds`; a listener must not accept any more."""

    _log = Logger()

    def __init__(self, factory: EchoFactory, clock: IReactorTime, timeout: float) -> None:
        self._factory = factory
        self._clock = clock
        self.timeout = timeout
        self._immediate = False
        self._message_counts: dict[EchoProtocol, int] = {}
        self._ticker = LoopingCall(self._tick)
        self._ticker.clock = clock

    def start(self) -> Deferred[None]:
        """Begin; fires when the last connection is over. After end_now that is at once."""
        if self._factory.connections:
            self._log.info(
                "stopping, open connections: {connections}; they get what they are owed for at most "
                "{seconds:g} seconds, and another signal ends them at once",
                connections=len(self._factory.connections),
                seconds=self.timeout,
            )
        self._timeout_call = self._clock.callLater(0 if self._immediate else self.timeout, self.abort)
        self._ticker.start(QUIET_INTERVAL)
        return self._factory.when_empty().addCallback(self._finished)

    def abort(self) -> None:
        """Do not wait any longer, or not at all: reset what is still open."""
        self._immediate = True
        if not self._ticker.running:
            return
        for connection in list(self._factory.connections):
            connection.reset("server's reset")

    def _tick(self) -> None:
        message_counts, self._message_counts = self._message_counts, {}
        for connection in list(self._factory.connections):
            if connection.has_pending_output or connection.closing:
                continue  # not read from, so what it sent meanwhile is unknown
            self._message_counts[connection] = connection.messages
            if message_counts.get(connection) == connection.messages:
                connection.close("server")

    def _finished(self, result: None) -> None:
        if remaining := self._factory.admission.count:
            self._log.critical("connections that are over are counted still: {left}", left=remaining)
        self._ticker.stop()
        if self._timeout_call.active():
            self._timeout_call.cancel()
