"""What the daemon tells the service manager in the course of its life: ready, how it goes, well, stopping.

``WATCHDOG=1`` is told when every listener was asked and none was found hung (see health), not by a timer alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from echotime.daemon.health import LIMIT, Finding, HealthCheck, Verdict
from echotime.daemon.notify import Notify

STATUS_INTERVAL = 20.0
"""Seconds from one status to the next."""
EXTEND_INTERVAL, EXTEND_BY = 5.0, 15
"""Seconds from one demand for more time to the next, while stopping, and how many are demanded."""
_SHARE, _AGAIN = 2, 8
"""The parts of the watchdog's time after which is asked: half of it, and much less at first and after one was hung."""


SHORTEST = 0.4
"""Seconds of a watchdog: less leaves no time for an answer."""


class Supervision:
    """Begins with `serving`, ends with `over`. `figures` gives the status; `watchdog` is the time allowed, in s."""

    _log = Logger()

    def __init__(
        self,
        notify: Notify,
        figures: Callable[[], str],
        health: HealthCheck,
        reactor: Any,
        watchdog: float | None = None,
    ) -> None:
        self._notify = notify
        self._figures = figures
        self._health = health
        self._reactor = reactor
        if watchdog is not None and watchdog < SHORTEST:
            self._log.warn(
                "a watchdog of {given:g} s is too short; expected {shortest:g} s or more",
                given=watchdog,
                shortest=SHORTEST,
            )
            watchdog = SHORTEST
        self._watchdog = watchdog
        self._stopping = False
        self._next_check: Any = None
        self._known: dict[str, Verdict] = {}
        self._telling = LoopingCall(self._tell)
        self._telling.clock = reactor

    def serving(self) -> None:
        """Every port listens: ready, as soon as the reactor runs."""
        self._reactor.callWhenRunning(self._ready)

    def _ready(self) -> None:
        if self._stopping:
            return
        self._notify(f"READY=1\nSTATUS={self._figures()}")
        self._telling.start(STATUS_INTERVAL, now=False)
        if self._watchdog is not None:
            self._next_check = self._reactor.callLater(self._watchdog / _AGAIN, self._check, self._watchdog)

    def reloading(self, begins: bool) -> None:
        """The options are about to be read again, or have been. The moment is for Type=notify-reload."""
        if begins:
            self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        else:
            self._notify(f"READY=1\nSTATUS={self._figures()}")

    def stopping(self) -> None:
        """The ports are about to be closed; what is left to do may take longer than the service manager would wait."""
        self._stopping = True
        if self._next_check is not None and self._next_check.active():
            self._next_check.cancel()
        self._health.stop()
        self._notify("STOPPING=1")
        if self._telling.running:
            self._telling.stop()
        self._telling.start(EXTEND_INTERVAL)

    def over(self) -> None:
        """The last connection is closed."""
        if self._telling.running:
            self._telling.stop()

    def _tell(self) -> None:
        more = f"\nEXTEND_TIMEOUT_USEC={EXTEND_BY * 1_000_000}" if self._stopping else ""
        self._notify(f"STATUS={self._figures()}{more}")

    def _check(self, watchdog: float) -> None:
        checking = self._health.check(min(LIMIT, watchdog / _AGAIN))
        checking.addCallback(self._checked, watchdog).addErrback(self._failed, watchdog)

    def _checked(self, findings: Sequence[Finding], watchdog: float) -> None:
        for each in findings:
            self._report(each)
        well = all(each.verdict is not Verdict.HUNG for each in findings)
        if well:
            self._notify("WATCHDOG=1")
        self._next_check = self._reactor.callLater(watchdog / (_SHARE if well else _AGAIN), self._check, watchdog)

    def _failed(self, failure: Failure, watchdog: float) -> None:
        if not failure.check(CancelledError):
            self._log.failure("the health check failed", failure)
            self._next_check = self._reactor.callLater(watchdog / _AGAIN, self._check, watchdog)

    def _report(self, finding: Finding) -> None:
        """Say what has changed."""
        before = self._known.get(finding.where)
        self._known[finding.where] = finding.verdict
        if finding.verdict is (before or Verdict.ANSWERED):
            return
        # where a listener was never reached, as by a firewall, that is how it has to be
        expected = finding.verdict is Verdict.ANSWERED or (finding.verdict is Verdict.UNANSWERED and before is None)
        level = LogLevel.info if expected else LogLevel.warn
        self._log.emit(level, "health check: {finding}", finding=str(finding))
