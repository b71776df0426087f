"""The whole daemon as one service: every listener, or none; and at stop the connections' last answers."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from echotime.daemon.failure import StartFailed
from echotime.servers.drain import Drain
from echotime.servers.traffic import Traffic

OnSignal = Callable[[Callable[[], None]], None]


class Daemon(MultiService):
    """Its children are the listeners. `on_signal` arranges that the next signal calls a function."""

    _log = Logger()

    def __init__(self, drain: Drain, traffic: Traffic, on_signal: OnSignal) -> None:
        super().__init__()
        self._drain = drain
        self._traffic = traffic
        self._on_signal = on_signal

    def privilegedStartService(self) -> None:
        """Open every port. If one cannot be, the others are closed again, and StartFailed goes on."""
        try:
            super().privilegedStartService()
        except StartFailed:
            super().stopService()
            raise

    def stopService(self) -> Deferred[Any]:
        """Close the ports, then drain: fires when the last connection is over. The next signal ends it at once."""
        self._on_signal(self._drain.end_now)
        stopping: Deferred[Any] = super().stopService()
        stopping.addCallback(lambda closed: self._drain.start())
        return stopping.addCallback(lambda drained: self._tell())

    def _tell(self) -> None:
        self._traffic.flush()
        self._log.info(
            "served connections: {connections} (silent: {silent}), messages: {messages}, datagrams: {datagrams}",
            **vars(self._traffic.counters),
        )


def next_signal(reactor: IReactorFromThreads) -> OnSignal:
    """An OnSignal for a real process: SIGTERM and SIGINT, once Twisted has taken its first."""

    def arrange(act: Callable[[], None]) -> None:
        def handle(number: int, frame: object) -> None:
            reactor.callFromThread(act)

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, handle)

    return arrange
