"""What stops the daemon: a signal, or a failure. The first stops it in order, a second signal ends that."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Any

from echotime.daemon.memory import call_on_memory_error
from echotime.errors import report_runtime_failure

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE_PERIOD = 5.0
"""Seconds that a stop may take besides the drain."""


class ShutdownController:
    """For a real process, in front of the handlers that Twisted installs."""

    def __init__(self, reactor: Any, drain_timeout: float) -> None:
        self._reactor = reactor
        self._drain_timeout = drain_timeout
        self._on_second_signal: Callable[[], None] = lambda: None
        self._previous_handlers: dict[int, Any] = {}
        self._stop_count = count()
        """Numbers what stops the daemon, from 0; in one step, as a signal may come between any two."""
        self._has_failed = False

    def on_second_signal(self, callback: Callable[[], None]) -> None:
        """Call `callback` at the second signal, or at the first after a failure.

        The first signal is Twisted's, all others are ours: Twisted, which would stop a stopped reactor, does not
        see them, however close they follow.
        """
        self._on_second_signal = callback
        self._reactor.callWhenRunning(self._install_handlers)

    def fail(self, reason: str, *, immediate: bool = False) -> None:
        """The daemon cannot serve on: it stops in order, unless `immediate`, and the process ends with status 1.

        It does so in time even if what failed keeps it from stopping.
        """
        first, self._has_failed = not self._has_failed, True
        if first or immediate:
            signal.setitimer(signal.ITIMER_REAL, GRACE_PERIOD + (0 if immediate else self._drain_timeout), GRACE_PERIOD)
        if first:
            report_runtime_failure(reason)
        if next(self._stop_count) == 0:
            self._reactor.stop()
        if immediate:
            self._on_second_signal()

    def _install_handlers(self) -> None:
        signal.signal(signal.SIGALRM, lambda number, frame: os._exit(1))
        call_on_memory_error(lambda: self.fail("out of memory", immediate=True), self._reactor)
        for signal_number in _SIGNALS:
            previous = signal.getsignal(signal_number)
            if callable(previous):
                self._previous_handlers[signal_number] = previous
                signal.signal(signal_number, self._on_signal)

    def _on_signal(self, signal_number: int, frame: Any) -> None:
        if next(self._stop_count) == 0:
            self._previous_handlers[signal_number](signal_number, frame)
        else:
            self._reactor.callFromThread(self._on_second_signal)
