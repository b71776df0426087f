"""What stops the daemon: a signal, or a failure. The first stops it in order, a second signal ends that."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Any

from echotime.daemon.failure import run_failed
from echotime.daemon.memory import watch_memory

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE = 5.0
"""Seconds that a stop may take besides the drain."""


class Stopping:
    """For a real process, in front of the handlers that Twisted installs."""

    def __init__(self, reactor: Any, drain_seconds: float) -> None:
        self._reactor = reactor
        self._drain_seconds = drain_seconds
        self._act: Callable[[], None] = lambda: None
        self._before: dict[int, Any] = {}
        self._reasons = count()
        """Numbers what stops the daemon, from 0; in one step, as a signal may come between any two."""
        self._failed = False

    def on_second_signal(self, act: Callable[[], None]) -> None:
        """Call `act` at the second signal, or at the first after a failure.

        The first signal is Twisted's, all others are ours: Twisted, which would stop a stopped reactor, does not
        see them, however close they follow.
        """
        self._act = act
        self._reactor.callWhenRunning(self._install)

    def failed(self, reason: str, *, at_once: bool = False) -> None:
        """The daemon cannot serve on: it stops in order, unless `at_once`, and the process ends with status 1.

        It does so in time even if what failed keeps it from stopping.
        """
        first, self._failed = not self._failed, True
        if first or at_once:
            signal.setitimer(signal.ITIMER_REAL, GRACE + (0 if at_once else self._drain_seconds), GRACE)
        if first:
            run_failed(reason)
        if next(self._reasons) == 0:
            self._reactor.stop()
        if at_once:
            self._act()

    def _install(self) -> None:
        signal.signal(signal.SIGALRM, lambda number, frame: os._exit(1))
        watch_memory(lambda: self.failed("out of memory", at_once=True), self._reactor)
        for number in _SIGNALS:
            before = signal.getsignal(number)
            if callable(before):
                self._before[number] = before
                signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: Any) -> None:
        if next(self._reasons) == 0:
            self._before[number](number, frame)
        else:
            self._reactor.callFromThread(self._act)
