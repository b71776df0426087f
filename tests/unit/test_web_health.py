"""Test web/health_pages.py and health/monitor.py: the last known state, and its pages."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from echotime.health.check import HealthCheck, HealthStatus, ProbeResult
from echotime.health.monitor import CHECK_INTERVAL, HealthMonitor
from tests.support.http_exchange import UNIX, Harness

HUNG = ProbeResult("TCP here", HealthStatus.HUNG, reason="1 pending connection, none accepted for 1 s")
WELL = ProbeResult("TCP here", HealthStatus.ANSWERED, 0.001)


@pytest.fixture
def harness() -> Harness:
    """Provide a site with the health pages."""
    return Harness()


def page(harness: Harness, path: str) -> tuple[int, str]:
    """Return status and body of a page."""
    head, body = harness.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), UNIX).split(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def test_well(harness: Harness) -> None:
    """A daemon that serves is live and ready. With ?verbose the pages list each check and each listener."""
    assert page(harness, "/livez") == page(harness, "/readyz") == (200, "ok\n")
    status, body = page(harness, "/readyz?verbose")
    assert (status, body.splitlines()) == (
        200,
        ["[+]started ok", "[+]listeners ok", "[+]accepting ok", "TCP here: answered in 0.0 ms", "ok"],
    )
    assert page(harness, "/livez?a=b&verbose=1")[1].startswith("[+]listeners ok\n")
    assert page(harness, "/livez?verbosely") == (200, "ok\n")


def test_starting(harness: Harness) -> None:
    """Before the first check has ended the daemon is live, and not ready."""
    harness.health.checked_at = None
    assert page(harness, "/livez") == (200, "ok\n")
    assert page(harness, "/readyz") == (
        503,
        "[-]started failed: starting: the first health check has not ended\nfailed\n",
    )


def test_hung(harness: Harness) -> None:
    """With a listener that is hung the daemon is neither live nor ready."""
    harness.health.hung = [HUNG]
    for path in ("/livez", "/readyz"):
        status, body = page(harness, path)
        assert (status, body) == (503, f"[-]listeners failed: {HUNG}\nfailed\n")


def test_stopping(harness: Harness) -> None:
    """While the daemon stops it is live, and not ready."""
    harness.readiness.withdraw(10)
    assert page(harness, "/livez")[0] == 200
    assert page(harness, "/readyz") == (503, "[-]accepting failed: stopping: the ports are closed in 10 s\nfailed\n")
    harness.clock.advance(20)
    assert page(harness, "/readyz") == (503, "[-]accepting failed: stopping: the ports are closed\nfailed\n")


class Check:
    """Stand in for a HealthCheck: hold the Deferreds of the checks that were begun."""

    def __init__(self) -> None:
        self.begun: list[Deferred[Any]] = []

    def check(self) -> Deferred[Any]:
        """Begin a check that the test ends."""
        self.begun.append(Deferred())
        return self.begun[-1]

    def stop(self) -> None:
        """Cancel the last check that was begun."""
        if not self.begun[-1].called:
            self.begun[-1].cancel()


class ReactorClock(Clock):
    """A clock on which the reactor runs at once."""

    def callWhenRunning(self, call: Any) -> None:  # noqa: N802 - the reactor's
        """Call a function at once."""
        call()


def test_monitor(clean_reactor: list[LogEvent]) -> None:
    """The monitor keeps the last results, also after a check that failed, and after its end."""
    clock, check = ReactorClock(), Check()
    monitor = HealthMonitor(cast("HealthCheck", check), clock)
    monitor.startService()
    assert (monitor.results, monitor.checked_at, len(check.begun)) == ((), None, 1)
    check.begun[0].callback([WELL, HUNG])
    assert (monitor.results, monitor.checked_at, monitor.hung) == ([WELL, HUNG], 0.0, [HUNG])
    clock.advance(CHECK_INTERVAL)
    check.begun[1].errback(ValueError("fault"))
    assert [str(each["log_failure"].value) for each in clean_reactor] == ["fault"]
    clean_reactor.clear()
    clock.advance(CHECK_INTERVAL)
    assert (len(check.begun), monitor.results) == (3, [WELL, HUNG])
    monitor.stopService()
    clock.advance(10 * CHECK_INTERVAL)
    assert (len(check.begun), monitor.results, clock.getDelayedCalls()) == (3, [WELL, HUNG], [])


def test_monitor_stopped_early() -> None:
    """A service that is stopped before the reactor runs begins no check."""
    check = Check()
    monitor = HealthMonitor(cast("HealthCheck", check), Clock())
    monitor._start()
    assert not check.begun
