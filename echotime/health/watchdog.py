"""Report to the service manager by sd_notify(3): ready, status, reloading, stopping, and the watchdog.

``WATCHDOG=1`` is sent only after a health check that found no listener hung, never by a timer alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import LoopingCall
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from echotime.health.check import PROBE_TIMEOUT, HealthCheck, HealthStatus, ProbeResult
from echotime.logger import Logger
from echotime.systemd.notify import SdNotifier

STATUS_INTERVAL = 20.0
"""Seconds between two STATUS= messages."""
RETRY_INTERVAL = 0.5
"""Seconds between two attempts to send what the service manager did not accept."""
EXTEND_INTERVAL, EXTEND_SECONDS = 5.0, 15
"""While stopping: seconds between two EXTEND_TIMEOUT_USEC= messages, and the seconds that each asks for."""
_PERIOD_DIVISOR, _RETRY_DIVISOR = 2, 8
"""Fractions of the watchdog's time between health checks: 1/2, or 1/8 at the start and after a listener was hung."""
MIN_WATCHDOG = 0.4
"""Shortest watchdog in seconds. A shorter one leaves no time for the probes."""


class SystemdStatus:
    """Send the daemon's state to the service manager, from `notify_ready` to `close`.

    `format_status` returns the text for STATUS=. `watchdog` is WatchdogSec= in seconds, None for no watchdog.
    """

    _log = Logger()

    def __init__(
        self,
        notifier: SdNotifier,
        format_status: Callable[[], str],
        health: HealthCheck,
        reactor: Any,
        watchdog: float | None = None,
    ) -> None:
        self._notifier = notifier
        self._format_status = format_status
        self._health = health
        self._reactor = reactor
        if watchdog is not None and watchdog < MIN_WATCHDOG:
            self._log.warn(
                "watchdog of {given:g} s is too short: using {shortest:g} s",
                given=watchdog,
                shortest=MIN_WATCHDOG,
            )
            watchdog = MIN_WATCHDOG
        self._watchdog = watchdog
        self._stopping = False
        self._next_check: Any = None
        self._next_retry: Any = None
        self._last_status: dict[str, HealthStatus] = {}
        self._status_loop = LoopingCall(self._send_status)
        self._status_loop.clock = reactor

    def notify_ready(self) -> None:
        """Send READY=1 as soon as the reactor runs."""
        self._reactor.callWhenRunning(self._send_ready)

    def _send_ready(self) -> None:
        if self._stopping:
            return
        self._notify(f"READY=1\nSTATUS={self._format_status()}")
        self._status_loop.start(STATUS_INTERVAL, now=False)
        if self._watchdog is not None:
            self._next_check = self._reactor.callLater(self._watchdog / _RETRY_DIVISOR, self._check, self._watchdog)

    def notify_reloading(self, in_progress: bool) -> None:
        """Send RELOADING=1 at the beginning of a reload and READY=1 at its end, as Type=notify-reload expects.

        After STOPPING=1 neither is sent: the daemon serves, and may reload, but is not ready any more.
        """
        if self._stopping:
            return
        if in_progress:
            self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        else:
            self._notify(f"READY=1\nSTATUS={self._format_status()}")

    def notify_stopping(self) -> None:
        """Send STOPPING=1, and ask for more time until `close`. The health checks go on until `stop_checks`."""
        self._stopping = True
        self._notify("STOPPING=1")
        if self._status_loop.running:
            self._status_loop.stop()
        self._status_loop.start(EXTEND_INTERVAL)

    def stop_checks(self) -> None:
        """End the health checks, and with them the notifications of the watchdog: the ports are to be closed."""
        if self._next_check is not None and self._next_check.active():
            self._next_check.cancel()
        self._health.stop()

    def close(self) -> None:
        """Send nothing more. The last connection is closed."""
        if self._status_loop.running:
            self._status_loop.stop()
        if self._next_retry is not None:
            self._next_retry.cancel()

    def _notify(self, notification: str) -> None:
        self._retry_unless(self._notifier(notification))

    def _retry(self) -> None:
        self._next_retry = None
        self._retry_unless(self._notifier.retry())

    def _retry_unless(self, all_sent: bool) -> None:
        """Schedule a retry unless everything was sent, or a retry is scheduled already."""
        if not all_sent and self._next_retry is None:
            self._next_retry = self._reactor.callLater(RETRY_INTERVAL, self._retry)

    def _send_status(self) -> None:
        more = f"\nEXTEND_TIMEOUT_USEC={EXTEND_SECONDS * 1_000_000}" if self._stopping else ""
        self._notify(f"STATUS={self._format_status()}{more}")

    def _check(self, watchdog: float) -> None:
        checking = self._health.check(min(PROBE_TIMEOUT, watchdog / _RETRY_DIVISOR))
        checking.addCallback(self._check_done, watchdog).addErrback(self._check_failed, watchdog)

    def _check_done(self, results: Sequence[ProbeResult], watchdog: float) -> None:
        for each in results:
            self._log_change(each)
        healthy = all(each.status is not HealthStatus.HUNG for each in results)
        if healthy:
            self._notify("WATCHDOG=1")
        self._next_check = self._reactor.callLater(
            watchdog / (_PERIOD_DIVISOR if healthy else _RETRY_DIVISOR), self._check, watchdog
        )

    def _check_failed(self, failure: Failure, watchdog: float) -> None:
        if not failure.check(CancelledError):
            self._log.failure("the health check failed", failure)
            self._next_check = self._reactor.callLater(watchdog / _RETRY_DIVISOR, self._check, watchdog)

    def _log_change(self, result: ProbeResult) -> None:
        previous = self._last_status.get(result.listener)
        self._last_status[result.listener] = result.status
        if result.status is (previous or HealthStatus.ANSWERED):
            return
        # a listener that was never reached, because of a firewall, is not worth a warning
        expected = result.status in {HealthStatus.ANSWERED, HealthStatus.NOT_PROBED} or (
            result.status is HealthStatus.UNANSWERED and previous is None
        )
        level = LogLevel.info if expected else LogLevel.warn
        self._log.emit(level, "health check: {finding}", finding=str(result))
