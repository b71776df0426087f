"""Test systemd/notify.py and supervision.py: the notifications for a service manager."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from echotime.health.check import HealthStatus, ProbeResult
from echotime.health.watchdog import RETRY_INTERVAL, STATUS_INTERVAL, SystemdStatus
from echotime.systemd.environment import InvalidEnvironment
from echotime.systemd.notify import SdNotifier, notifier_from_environ, watchdog_seconds
from tests.support.twistd_process import LIMIT

WELL = ProbeResult("TCP here", HealthStatus.ANSWERED)
UNANSWERED = ProbeResult("TCP here", HealthStatus.UNANSWERED, reason="reason")
HUNG = ProbeResult("TCP here", HealthStatus.HUNG, reason="reason")


class NotifyTests(SynchronousTestCase):
    """Send notifications to a socket."""

    def bound(self, address: str) -> socket.socket:
        """Bind the service manager's socket."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(address)
        sock.settimeout(LIMIT)
        return sock

    def notifier(self, environment: dict[str, str]) -> SdNotifier:
        """Make a notifier for an environment."""
        made = notifier_from_environ(environment)
        assert made is not None
        self.addCleanup(made.close)
        return made

    def test_path(self) -> None:
        """A notification is sent to a socket in the file system."""
        Path(self.mktemp()).mkdir(parents=True)
        path = f"/tmp/echotime-{secrets.token_hex(8)}"
        sock = self.bound(path)
        self.addCleanup(os.unlink, path)
        notify = self.notifier({"NOTIFY_SOCKET": path})
        self.assertTrue(notify("READY=1\nSTATUS=well"))
        self.assertEqual(sock.recv(100), b"READY=1\nSTATUS=well")

    def test_abstract(self) -> None:
        """A notification is sent to a socket with an abstract name."""
        name = f"echotime-{secrets.token_hex(8)}"
        sock = self.bound(f"\0{name}")
        notify = self.notifier({"NOTIFY_SOCKET": f"@{name}"})
        self.assertTrue(notify("READY=1"))
        self.assertEqual(sock.recv(100), b"READY=1")

    def test_nobody(self) -> None:
        """Without a usable or responsive socket nothing is sent, and nothing blocks."""
        self.assertIsNone(notifier_from_environ({}))
        for unusable in ("vsock:2:1234", "run/notify", "/" + "x" * 107):
            self.assertIsNone(notifier_from_environ({"NOTIFY_SOCKET": unusable}))
        notify = self.notifier({"NOTIFY_SOCKET": f"@echotime-{secrets.token_hex(8)}"})
        self.assertFalse(notify("READY=1"))

    def full(self) -> tuple[SdNotifier, socket.socket]:
        """Return a notifier whose service manager does not read and has no room left."""
        name = f"echotime-{secrets.token_hex(8)}"
        sock = self.bound(f"\0{name}")
        notify = self.notifier({"NOTIFY_SOCKET": f"@{name}"})
        self.assertFalse(all(notify("filler") for _ in range(10_000)), "notify blocks")
        return notify, sock

    def received(self, notify: SdNotifier, sock: socket.socket) -> list[str]:
        """Read whatever is in the socket, then retry until nothing is unsent, and return what arrived."""
        found: list[str] = []
        sock.setblocking(False)
        done = False
        while not done:
            done = notify.retry()
            with contextlib.suppress(BlockingIOError):
                while True:
                    found.append(sock.recv(4096).decode())
        return [each for each in found if each != "filler"]

    def test_full(self) -> None:
        """Notifications that find the service manager's queue full are sent when there is room again."""
        notify, sock = self.full()
        for state in ("READY=1\nSTATUS=a", "STATUS=b", "WATCHDOG=1", "STATUS=c", "WATCHDOG=1"):
            self.assertFalse(notify(state))
        self.assertFalse(notify.retry())
        self.assertEqual(self.received(notify, sock), ["READY=1\nSTATUS=a", "STATUS=c", "WATCHDOG=1"])
        self.assertTrue(notify.retry())

    def test_unsent_states(self) -> None:
        """A later state replaces an unsent one; READY=1 stays behind the reload that it ends."""
        rows = [
            (["READY=1", "RELOADING=1\nA", "READY=1\nA"], ["RELOADING=1\nA", "READY=1\nA"]),
            (["RELOADING=1\nA", "READY=1\nA", "RELOADING=1\nB"], ["RELOADING=1\nB"]),
            (["RELOADING=1\nA", "READY=1\nA", "RELOADING=1\nB", "READY=1\nB"], ["RELOADING=1\nB", "READY=1\nB"]),
            (["READY=1", "STOPPING=1"], ["STOPPING=1"]),
            (["RELOADING=1", "STOPPING=1", "STATUS=a"], ["STOPPING=1", "STATUS=a"]),
        ]
        for states, expected in rows:
            notify, sock = self.full()
            for state in states:
                notify(state)
            self.assertEqual(self.received(notify, sock), expected)

    def test_absent_at_first(self) -> None:
        """A notification is sent to a service manager that listens only later."""
        name = f"echotime-{secrets.token_hex(8)}"
        notify = self.notifier({"NOTIFY_SOCKET": f"@{name}"})
        self.assertFalse(notify("READY=1"))
        sock = self.bound(f"\0{name}")
        self.assertTrue(notify("STATUS=x"))
        self.assertEqual([sock.recv(100), sock.recv(100)], [b"READY=1", b"STATUS=x"])

    def test_no_descriptor(self) -> None:
        """The notifier keeps its socket, so that it works without a free descriptor."""
        name = secrets.token_hex(8)
        first = self.bound(f"\0echotime-{name}")
        notify = self.notifier({"NOTIFY_SOCKET": f"@echotime-{name}"})
        self.assertTrue(notify("READY=1"))

        def none(*kind: object) -> socket.socket:
            raise OSError(errno.EMFILE, "Too many open files")

        self.patch(socket, "socket", none)
        self.assertTrue(notify("WATCHDOG=1"))
        first.close()
        self.assertFalse(notify("WATCHDOG=1"))
        self.assertFalse(notify("WATCHDOG=1"))

    def test_watchdog(self) -> None:
        """The watchdog's time is read if it is meant for this process."""
        self.assertIsNone(watchdog_seconds({}))
        self.assertIsNone(watchdog_seconds({"WATCHDOG_USEC": ""}))
        for wrong in ("0", "x", "-5", "9" * 20, "9" * 400, "9" * 5000):
            with self.assertRaisesRegex(
                InvalidEnvironment, f"WATCHDOG_USEC={wrong[:40]}: expected a number from 1 to "
            ):
                watchdog_seconds({"WATCHDOG_USEC": wrong})
        variables = {"WATCHDOG_USEC": "2500000"}
        self.assertEqual(watchdog_seconds(variables), 2.5)
        self.assertEqual(watchdog_seconds({**variables, "WATCHDOG_PID": str(os.getpid())}), 2.5)
        self.assertIsNone(watchdog_seconds({**variables, "WATCHDOG_PID": "1"}))
        with self.assertRaisesRegex(InvalidEnvironment, "WATCHDOG_PID=x: expected a number from 1 to 2147483647"):
            watchdog_seconds({**variables, "WATCHDOG_PID": "x"})


class Health:
    """Stand for a health check with a chosen result."""

    def __init__(self) -> None:
        self.answer: Any = [WELL]
        self.limits: list[float] = []
        self.pending: list[Deferred[Any]] = []

    def check(self, limit: float) -> Deferred[Any]:
        """Return the chosen result; if it is None, a Deferred that stays pending."""
        self.limits.append(limit)
        result: Deferred[Any] = Deferred()
        if self.answer is None:
            self.pending.append(result)
        elif isinstance(self.answer, Exception):
            result.errback(self.answer)
        else:
            result.callback(self.answer)
        return result

    def stop(self) -> None:
        """Cancel all pending health checks."""
        for each in self.pending:
            each.cancel()


class Running(Clock):
    """Provide a clock for a reactor that runs from the first advance on."""

    def callWhenRunning(self, act: Callable[[], None]) -> None:  # noqa: N802 - the reactor's name
        """Call as soon as the reactor runs."""
        self.callLater(0, act)


class Notifier:
    """Stand for an SdNotifier, with room in the service manager's queue or without."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.unsent: list[str] = []
        self.full = False
        self.retries = 0

    def __call__(self, state: str) -> bool:
        """Record the lines of a notification, as sent or as unsent."""
        (self.unsent if self.full else self.sent).extend(state.splitlines())
        return not self.full

    def retry(self) -> bool:
        """Send the unsent lines if there is room."""
        self.retries += 1
        if not self.full:
            self.sent += self.unsent
            self.unsent.clear()
        return not self.full


class SupervisionTests(SynchronousTestCase):
    """Run a SystemdStatus on a fake clock."""

    def setUp(self) -> None:
        """Make a supervisor's clock, health check and record."""
        self.clock = Running()
        self.notifier = Notifier()
        self.sent = self.notifier.sent
        self.health = Health()
        self.status = "well"

    def supervision(self, watchdog: float | None = None) -> SystemdStatus:
        """Make a SystemdStatus that is serving."""
        notifier: Any = self.notifier
        made = SystemdStatus(notifier, lambda: self.status, self.health, self.clock, watchdog)  # type: ignore[arg-type]
        made.notify_ready()
        return made

    def pings(self) -> int:
        """Return the number of watchdog notifications."""
        return self.sent.count("WATCHDOG=1")

    def test_ready(self) -> None:
        """READY is sent when the reactor runs, followed by a status a few times a minute."""
        self.supervision()
        self.assertEqual(self.sent, [])
        self.clock.advance(0)
        self.assertEqual(self.sent, ["READY=1", "STATUS=well"])
        self.status = "better"
        self.clock.pump([STATUS_INTERVAL] * 2)
        self.assertEqual(self.sent[2:], ["STATUS=better"] * 2)
        self.assertEqual(self.health.limits, [], "no watchdog was requested")

    def test_reloading(self) -> None:
        """A reload is notified with the time of its beginning in microseconds, and its end with the status."""
        supervised = self.supervision()
        earliest = time.monotonic_ns() // 1000
        supervised.notify_reloading(True)
        self.assertEqual(self.sent[0], "RELOADING=1")
        name, _, value = self.sent[1].partition("=")
        self.assertEqual(name, "MONOTONIC_USEC")
        self.assertLessEqual(earliest, int(value))
        self.assertLessEqual(int(value), time.monotonic_ns() // 1000)
        supervised.notify_reloading(False)
        self.assertEqual(self.sent[2:], ["READY=1", "STATUS=well"])

    def test_stopping(self) -> None:
        """A stop is notified at once, then the need for more time, until the last connection has ended."""
        supervised = self.supervision(20)
        self.clock.advance(0)
        self.sent.clear()
        self.status = "stopping"
        supervised.notify_stopping()
        supervised.stop_checks()
        self.assertEqual(self.sent, ["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=15000000"])
        self.clock.pump([1] * 12)
        self.assertEqual(self.sent[3:], ["STATUS=stopping", "EXTEND_TIMEOUT_USEC=15000000"] * 2)
        supervised.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_delay(self) -> None:
        """After STOPPING=1 the watchdog is notified until the checks end; a reload does not send READY=1."""
        supervised = self.supervision(20)
        self.clock.advance(0)
        supervised.notify_stopping()
        self.sent.clear()
        supervised.notify_reloading(True)
        supervised.notify_reloading(False)
        self.assertEqual(self.sent, [])
        self.clock.pump([1] * 23)
        self.assertEqual(self.pings(), 3)
        supervised.stop_checks()
        self.clock.pump([1] * 23)
        self.assertEqual(self.pings(), 3)
        supervised.close()

    def test_full(self) -> None:
        """A notification that finds the queue full is retried, by one timer at a time, which `close` cancels."""
        self.notifier.full = True
        supervised = self.supervision()
        self.clock.advance(0)
        supervised.notify_reloading(True)
        self.clock.pump([RETRY_INTERVAL] * 4)
        self.assertEqual((self.sent, self.notifier.retries), ([], 4))
        self.notifier.full = False
        self.clock.advance(RETRY_INTERVAL)
        self.assertEqual(self.sent[:3], ["READY=1", "STATUS=well", "RELOADING=1"])
        self.clock.pump([RETRY_INTERVAL] * 4)
        self.assertEqual(self.notifier.retries, 5)
        self.notifier.full = True
        supervised.notify_stopping()
        supervised.stop_checks()
        supervised.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_before_ready(self) -> None:
        """After a stop before the reactor runs, READY is not sent."""
        supervised = self.supervision(20)
        supervised.notify_stopping()
        supervised.stop_checks()
        self.clock.advance(0)
        supervised.close()
        self.assertNotIn("READY=1", self.sent)
        self.assertEqual((self.clock.getDelayedCalls(), self.health.limits), ([], []))

    def test_watchdog(self) -> None:
        """The watchdog is notified soon after the start, then at half its time, each after a check."""
        self.supervision(32)
        self.clock.pump([0, 3.9])
        self.assertEqual((self.pings(), self.health.limits), (0, []))
        self.clock.advance(0.1)
        self.assertEqual(self.pings(), 1)
        self.clock.advance(15.9)
        self.assertEqual(self.pings(), 1)
        self.clock.advance(0.1)
        self.assertEqual(self.pings(), 2)
        self.assertEqual(self.health.limits, [1.0, 1.0])

    def test_short_watchdog(self) -> None:
        """A short watchdog time leaves less for a check: both of its halves have to fit in."""
        self.supervision(2)
        self.clock.pump([0, 0.25])
        self.assertEqual(self.health.limits, [0.25])

    def test_too_short_watchdog(self) -> None:
        """A watchdog time too short for any answer limits how often checks run."""
        self.supervision(0.000001)
        self.clock.pump([0, *[0.05] * 20])
        self.assertEqual((self.health.limits[0], len(self.health.limits)), (0.05, 5))

    def test_hung(self) -> None:
        """No notification is sent while a listener is hung; checks are repeated sooner, and it may recover."""
        self.supervision(8)
        self.clock.pump([0, 1])
        self.health.answer = [WELL, HUNG]
        self.clock.advance(4)
        for _ in range(3):
            self.clock.advance(1)
        self.assertEqual((self.pings(), len(self.health.limits)), (1, 5))
        self.health.answer = [WELL, WELL]
        self.clock.advance(1)
        self.assertEqual(self.pings(), 2)
        self.clock.advance(4)
        self.assertEqual(self.pings(), 3)

    def test_unreached(self) -> None:
        """A probe that does not arrive does not cause a restart."""
        self.health.answer = [UNANSWERED]
        self.supervision(8)
        self.clock.pump([0, 1])
        self.assertEqual(self.pings(), 1)

    def test_log(self) -> None:
        """A change is logged once, as a warning unless it is an answer or a listener that was never reached."""
        logged: list[tuple[object, str]] = []

        def note(event: LogEvent) -> None:
            logged.append((event["log_level"], formatEvent(event)))

        globalLogPublisher.addObserver(note)  # type: ignore[arg-type]  # a function is one
        self.addCleanup(globalLogPublisher.removeObserver, note)  # type: ignore[arg-type]
        answers = [[WELL], [UNANSWERED], [HUNG], [HUNG], [UNANSWERED], [WELL], [WELL]]
        for first in (WELL, UNANSWERED):
            logged.clear()
            supervised = self.supervision()
            for (result,) in ([first], *answers):
                supervised._log_change(result)
            expected = [
                *([(LogLevel.info, UNANSWERED), (LogLevel.info, WELL)] if first is UNANSWERED else []),
                (LogLevel.warn, UNANSWERED),
                (LogLevel.warn, HUNG),
                (LogLevel.warn, UNANSWERED),
                (LogLevel.info, WELL),
            ]
            self.assertEqual(logged, [(level, f"health check: {result}") for level, result in expected])

    def test_no_answer(self) -> None:
        """A check that never ends sends nothing, and a stop cancels it."""
        self.health.answer = None
        supervised = self.supervision(8)
        self.clock.pump([1] * 20)
        self.assertEqual((self.pings(), len(self.health.limits)), (0, 1))
        supervised.notify_stopping()
        supervised.stop_checks()
        supervised.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failed_check(self) -> None:
        """A check that fails is logged, counts as unhealthy, and is repeated."""
        self.health.answer = ValueError("check")
        self.supervision(8)
        self.clock.pump([0, 1])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.pings(), 0)
        self.health.answer = [WELL]
        self.clock.advance(1)
        self.assertEqual(self.pings(), 1)
