"""What stops the daemon: a signal, or a failure. The first stops it in order, a second signal ends that."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from echotime.daemon.failure import run_failed

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """For a real process, in front of the handlers that Twisted installs."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._act: Callable[[], None] = lambda: None
        self._before: dict[int, Any] = {}
        self._stops = False

    def on_second_signal(self, act: Callable[[], None]) -> None:
        """Call `act` at the second signal, or at the first after a failure.

        The first signal is Twisted's, and makes the second ours within the same handler: however close it
        follows, Twisted, which would stop a stopped reactor, does not see it.
        """
        self._act = act
        self._reactor.callWhenRunning(self._install)

    def failed(self, reason: str) -> None:
        """The daemon cannot serve on: it stops in order, and the process ends with status 1."""
        run_failed(reason)
        if not self._stops:
            self._next_is_second()
            self._reactor.stop()

    def _install(self) -> None:
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if callable(before):
                self._before[number] = before
                signal.signal(number, self._first)

    def _first(self, number: int, frame: Any) -> None:
        self._next_is_second()
        self._before[number](number, frame)

    def _next_is_second(self) -> None:
        self._stops = True
        for number in self._before:
            signal.signal(number, self._second)

    def _second(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._act)
