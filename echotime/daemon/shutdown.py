"""Stop the daemon at a signal or a failure. The first one starts an orderly stop, a second signal ends the drain.

With a stop delay, the first signal only withdraws readiness. The stop follows after the delay, or at another signal.
"""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

from echotime.daemon.signals import ignore_signals, release_signals
from echotime.errors import report_runtime_failure
from echotime.health.readiness import Readiness
from echotime.logger import Logger

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = Logger()
GRACE_PERIOD = 5.0
"""Seconds that a stop may take in addition to the drain."""
_BALLAST_SIZE = 4 * 2**20
"""Bytes of address space to free when memory runs out. Python allocates a mebibyte at a time."""


class ShutdownController:
    """Handle the signals that stop the process, in front of Twisted's handlers, and failures of the daemon.

    `drain_timeout` returns the seconds that the drain may take. `stop_delay` is the time in seconds from the first
    signal to the stop. `readiness` is withdrawn at the beginning of that time.
    """

    def __init__(
        self, reactor: Any, drain_timeout: Callable[[], float], readiness: Readiness, stop_delay: float = 0.0
    ) -> None:
        self._reactor = reactor
        self._drain_timeout = drain_timeout
        self._readiness = readiness
        self.stop_delay = stop_delay
        self._on_second_signal: Callable[[], None] = lambda: None
        self._previous_handlers: dict[int, Any] = {}
        self._reason_count = count()
        """Number of the next reason to stop, from 0. next() is atomic, so a signal handler may interrupt any code."""
        self._stop_count = count()
        """Number of the next stop request, from 0. The first reason to stop is none if there is a stop delay."""
        self._has_failed = False

    def on_second_signal(self, callback: Callable[[], None]) -> None:
        """Call `callback` at the second signal, at the first one after a failure, or at the one after the stop delay.

        Only one signal reaches Twisted, which would fail to stop a reactor that is stopping already.
        """
        self._on_second_signal = callback
        self._reactor.callWhenRunning(self._install_handlers)

    def fail(self, reason: str, *, immediate: bool = False) -> None:
        """Log the reason, stop the daemon without the stop delay, and have the process exit with status 1.

        `immediate` skips the drain. A timer ends the process if the failure keeps the daemon from stopping.
        """
        first, self._has_failed = not self._has_failed, True
        if first or immediate:
            signal.signal(signal.SIGALRM, lambda number, frame: os._exit(1))
            drain_timeout = 0 if immediate else self._drain_timeout()
            signal.setitimer(signal.ITIMER_REAL, GRACE_PERIOD + drain_timeout, GRACE_PERIOD)
        if first:
            report_runtime_failure(reason)
        next(self._reason_count)
        if next(self._stop_count) == 0:
            self._reactor.stop()
        if immediate:
            self._on_second_signal()

    def _install_handlers(self) -> None:
        call_on_memory_error(lambda: self.fail("out of memory", immediate=True), self._reactor)
        for signal_number in _SIGNALS:
            previous = signal.getsignal(signal_number)
            if callable(previous):
                self._previous_handlers[signal_number] = previous
                signal.signal(signal_number, self._on_signal)
        ignore_signals(self._reactor)
        release_signals()

    def _on_signal(self, signal_number: int, frame: Any) -> None:
        name, delay = signal.Signals(signal_number).name, self.stop_delay
        if next(self._reason_count) == 0 and delay > 0:
            self._reactor.callFromThread(self._begin_delay, signal_number, name, delay)
        elif next(self._stop_count) == 0:
            self._reactor.callFromThread(_log.info, "received {name}: stopping", name=name)
            self._previous_handlers[signal_number](signal_number, frame)
        else:
            # any number of further signals would change nothing, and fill the reactor's queue
            signal.signal(signal_number, signal.SIG_IGN)
            self._reactor.callFromThread(self._on_second_signal)

    def _begin_delay(self, signal_number: int, name: str, delay: float) -> None:
        _log.info(
            "received {name}: stopping in {seconds:g} s, ports open until then, another signal stops at once",
            name=name,
            seconds=delay,
        )
        self._readiness.withdraw(delay)
        self._reactor.callLater(delay, self._end_delay, signal_number)

    def _end_delay(self, signal_number: int) -> None:
        # another signal or a failure may have stopped the daemon already
        if next(self._stop_count) == 0:
            _log.info("stop delay ended: stopping")
            self._previous_handlers[signal_number](signal_number, None)


def call_on_memory_error(callback: Callable[[], object], reactor: Any = None) -> None:
    """Call `callback` at the first MemoryError that is logged, after freeing memory that was reserved for it.

    A MemoryError may leave any object half changed, so the daemon must end. Twisted and echotime log every exception
    that they catch, so the log shows each MemoryError. ChangelistReactor also reports one that it cannot log.
    """
    ballast = mmap.mmap(-1, _BALLAST_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    seen = False
    if hasattr(reactor, "on_memory_error"):
        reactor.on_memory_error = ballast.close

    @provider(ILogObserver)
    def observer(event: LogEvent) -> None:
        # twisted.python.log.err has it as `failure`
        failure = event.get("log_failure") or event.get("failure")
        nonlocal seen
        if isinstance(failure, Failure) and isinstance(failure.value, MemoryError) and not seen:
            seen = True
            ballast.close()
            callback()

    globalLogPublisher.addObserver(observer)
