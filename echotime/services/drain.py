"""Drain: end all connections of the TCP service within a time limit.

A connection with no pending output that sent nothing for a tick is closed. A connection that stays busy, does not read,
or awaits a reply continues until the time limit. It is then reset, so that the client knows that data is missing.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from echotime.logger import Logger
from echotime.services.echo_factory import EchoFactory
from echotime.services.tcp_echo import EchoProtocol
from echotime.wire.connection_end import BY_SERVER, BY_SERVER_RESET

QUIET_INTERVAL = 0.25
"""Seconds that a connection must be quiet: longer than most round trips and than an iteration of the reactor."""


class Drain:
    """End the connections of one factory within `timeout` seconds. Its listeners must be closed before."""

    _log = Logger()

    def __init__(self, factory: EchoFactory, clock: IReactorTime, timeout: float) -> None:
        self._factory = factory
        self._clock = clock
        self.timeout = timeout
        self._immediate = False
        self._last_active: dict[EchoProtocol, float] = {}
        """The `last_active` of each connection at the last tick."""
        self._ticker = LoopingCall(self._tick)
        self._ticker.clock = clock

    def start(self) -> Deferred[None]:
        """Begin to drain. The Deferred fires when the last connection has ended, at once after `abort`."""
        number = len(self._factory.connections) + len(self._factory.awaiting_header)
        if number:
            self._log.info(
                "stopping: open connections: {connections}, drain at most {seconds:g} s, "
                "another signal resets them at once",
                connections=number,
                seconds=self.timeout,
            )
        self._timeout_call = self._clock.callLater(0 if self._immediate else self.timeout, self.abort)
        self._ticker.start(QUIET_INTERVAL)
        return self._factory.when_empty().addCallback(self._finished)

    def abort(self) -> None:
        """Reset all open connections now, or at the start if the drain has not begun."""
        self._immediate = True
        if not self._ticker.running:
            return
        for connection in list(self._factory.connections):
            connection.reset(BY_SERVER_RESET)
        for waiting in list(self._factory.awaiting_header):
            waiting.transport.abortConnection()

    def _tick(self) -> None:
        last_active, self._last_active = self._last_active, {}
        for connection in list(self._factory.connections):
            if connection.has_pending_output or connection.closing:
                continue  # the connection was not read, so whether the client is quiet is unknown
            self._last_active[connection] = connection.last_active
            if last_active.get(connection) == connection.last_active:
                connection.close(BY_SERVER)

    def _finished(self, result: None) -> None:
        if remaining := self._factory.admission.count:
            self._log.critical(
                "admission counts connections after the last one ended: {remaining}", remaining=remaining
            )
        self._ticker.stop()
        if self._timeout_call.active():
            self._timeout_call.cancel()
