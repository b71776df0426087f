"""Check the listeners periodically, and keep the last results for readers that must not start a check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from echotime.health.check import HealthCheck, HealthStatus, ProbeResult
from echotime.logger import Logger

CHECK_INTERVAL = 5.0
"""Seconds between two checks."""


class HealthMonitor(Service):
    """Run a health check at the start and every CHECK_INTERVAL seconds.

    `results` and `checked_at` are the last known state. They stay when the checks end with the service.
    """

    _log = Logger()

    def __init__(self, health: HealthCheck, reactor: Any) -> None:
        self._health = health
        self._reactor = reactor
        self._loop = LoopingCall(self._check)
        self._loop.clock = reactor
        self.results: Sequence[ProbeResult] = ()
        """One result for each listener, TCP first."""
        self.checked_at: float | None = None
        """The reactor's time of the last results, None before the first check has ended."""

    @property
    def hung(self) -> list[ProbeResult]:
        """Return the results of the listeners that the last check found hung."""
        return [each for each in self.results if each.status is HealthStatus.HUNG]

    def startService(self) -> None:
        """Begin to check as soon as the reactor runs."""
        super().startService()
        self._reactor.callWhenRunning(self._start)

    def _start(self) -> None:
        if self.running:
            self._loop.start(CHECK_INTERVAL)

    def stopService(self) -> Deferred[None]:
        """End the checks, because the ports are to be closed."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        self._health.stop()
        return succeed(None)

    def _check(self) -> Deferred[None]:
        return self._health.check().addCallbacks(self._check_done, self._check_failed)

    def _check_done(self, results: Sequence[ProbeResult]) -> None:
        self.results = results
        self.checked_at = self._reactor.seconds()

    def _check_failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("the health check failed", failure)
