"""systemd/notify.py and supervision.py: what a service manager is told, and when."""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echotime.health.check import HealthStatus, ProbeResult
from echotime.health.watchdog import STATUS_INTERVAL, SystemdStatus
from echotime.systemd.notify import SdNotifier, notifier_from_environ, watchdog_seconds

WELL = ProbeResult("TCP here", HealthStatus.ANSWERED)
UNANSWERED = ProbeResult("TCP here", HealthStatus.UNANSWERED, reason="reason")
HUNG = ProbeResult("TCP here", HealthStatus.HUNG, reason="reason")


class NotifyTests(SynchronousTestCase):
    """notify."""

    def bound(self, address: str) -> socket.socket:
        """The service manager's end."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(address)
        sock.settimeout(5)
        return sock

    def notifier(self, environment: dict[str, str]) -> SdNotifier:
        """What tells it."""
        made = notifier_from_environ(environment)
        assert made is not None
        self.addCleanup(made.close)
        return made

    def test_path(self) -> None:
        """To a socket in the file system."""
        Path(self.mktemp()).mkdir(parents=True)
        path = f"/tmp/echotime-{secrets.token_hex(8)}"
        sock = self.bound(path)
        self.addCleanup(os.unlink, path)
        notify = self.notifier({"NOTIFY_SOCKET": path})
        self.assertTrue(notify("READY=1\nSTATUS=well"))
        self.assertEqual(sock.recv(100), b"READY=1\nSTATUS=well")

    def test_abstract(self) -> None:
        """To one with an abstract name."""
        name = f"echotime-{secrets.token_hex(8)}"
        sock = self.bound(f"\0{name}")
        notify = self.notifier({"NOTIFY_SOCKET": f"@{name}"})
        self.assertTrue(notify("READY=1"))
        self.assertEqual(sock.recv(100), b"READY=1")

    def test_nobody(self) -> None:
        """Nobody asked, or in a way that is not known; or whoever did is gone, or does not read."""
        self.assertIsNone(notifier_from_environ({}))
        self.assertIsNone(notifier_from_environ({"NOTIFY_SOCKET": "vsock:2:1234"}))
        notify = self.notifier({"NOTIFY_SOCKET": f"@echotime-{secrets.token_hex(8)}"})
        self.assertFalse(notify("READY=1"))
        name = f"echotime-{secrets.token_hex(8)}"
        self.bound(f"\0{name}")
        notify = self.notifier({"NOTIFY_SOCKET": f"@{name}"})
        self.assertFalse(all(notify("READY=1") for _ in range(10_000)), "it does not wait")

    def test_no_descriptor(self) -> None:
        """The socket is kept, as one could not be had at a moment when it matters; another is made if it was lost."""
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
        """The time that is allowed, for this process."""
        self.assertIsNone(watchdog_seconds({}))
        for wrong in ("0", "", "x", "-5"):
            self.assertIsNone(watchdog_seconds({"WATCHDOG_USEC": wrong}))
        asked = {"WATCHDOG_USEC": "2500000"}
        self.assertEqual(watchdog_seconds(asked), 2.5)
        self.assertEqual(watchdog_seconds({**asked, "WATCHDOG_PID": str(os.getpid())}), 2.5)
        self.assertIsNone(watchdog_seconds({**asked, "WATCHDOG_PID": "1"}))


class Health:
    """A health check that says what it is told to say."""

    def __init__(self) -> None:
        self.answer: Any = [WELL]
        self.asked: list[float] = []
        self.pending: list[Deferred[Any]] = []

    def check(self, limit: float) -> Deferred[Any]:
        """The answer; or none, as long as that is None."""
        self.asked.append(limit)
        asked: Deferred[Any] = Deferred()
        if self.answer is None:
            self.pending.append(asked)
        elif isinstance(self.answer, Exception):
            asked.errback(self.answer)
        else:
            asked.callback(self.answer)
        return asked

    def stop(self) -> None:
        """End those that wait."""
        for each in self.pending:
            each.cancel()


class Running(Clock):
    """A clock for a reactor, which runs from the first advance on."""

    def callWhenRunning(self, act: Callable[[], None]) -> None:  # noqa: N802 - the reactor's name
        """As soon as it does."""
        self.callLater(0, act)


class SupervisionTests(SynchronousTestCase):
    """supervision."""

    def setUp(self) -> None:
        """What is told is kept."""
        self.clock = Running()
        self.told: list[str] = []
        self.health = Health()
        self.status = "well"

    def supervision(self, watchdog: float | None = None) -> SystemdStatus:
        """One that serves."""
        made = SystemdStatus(self.notify, lambda: self.status, self.health, self.clock, watchdog)  # type: ignore[arg-type]
        made.notify_ready()
        return made

    def notify(self, state: str) -> bool:
        """What is told."""
        self.told += state.splitlines()
        return True

    def pings(self) -> int:
        """How often it was told that all is well."""
        return self.told.count("WATCHDOG=1")

    def test_ready(self) -> None:
        """It is told when the reactor runs, and what goes on, a few times a minute."""
        self.supervision()
        self.assertEqual(self.told, [])
        self.clock.advance(0)
        self.assertEqual(self.told, ["READY=1", "STATUS=well"])
        self.status = "better"
        self.clock.pump([STATUS_INTERVAL] * 2)
        self.assertEqual(self.told[2:], ["STATUS=better"] * 2)
        self.assertEqual(self.health.asked, [], "nobody asked for it")

    def test_stopping(self) -> None:
        """A stop is told at once, then that more time is needed, until the last connection is over."""
        supervised = self.supervision(20)
        self.clock.advance(0)
        self.told.clear()
        self.status = "stopping"
        supervised.notify_stopping()
        self.assertEqual(self.told, ["STOPPING=1", "STATUS=stopping", "EXTEND_TIMEOUT_USEC=15000000"])
        self.clock.pump([1] * 12)
        self.assertEqual(self.told[3:], ["STATUS=stopping", "EXTEND_TIMEOUT_USEC=15000000"] * 2)
        supervised.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_before_ready(self) -> None:
        """A stop may come before the reactor runs; ready is not told after that."""
        supervised = self.supervision(20)
        supervised.notify_stopping()
        self.clock.advance(0)
        supervised.close()
        self.assertNotIn("READY=1", self.told)
        self.assertEqual((self.clock.getDelayedCalls(), self.health.asked), ([], []))

    def test_watchdog(self) -> None:
        """A moment after the start, then at half the time, after a question that has time enough."""
        self.supervision(32)
        self.clock.pump([0, 3.9])
        self.assertEqual((self.pings(), self.health.asked), (0, []))
        self.clock.advance(0.1)
        self.assertEqual(self.pings(), 1)
        self.clock.advance(15.9)
        self.assertEqual(self.pings(), 1)
        self.clock.advance(0.1)
        self.assertEqual(self.pings(), 2)
        self.assertEqual(self.health.asked, [1.0, 1.0])

    def test_short_watchdog(self) -> None:
        """A short time leaves less for the questions: both halves of a check, and others after it, have to fit in."""
        self.supervision(2)
        self.clock.pump([0, 0.25])
        self.assertEqual(self.health.asked, [0.25])

    def test_too_short_watchdog(self) -> None:
        """What leaves no time for an answer is told, and asked for no more often than there is time for."""
        self.supervision(0.000001)
        self.clock.pump([0, *[0.05] * 20])
        self.assertEqual((self.health.asked[0], len(self.health.asked)), (0.05, 5))

    def test_hung(self) -> None:
        """Nothing is told while a listener is hung, which is asked again sooner; it may be well again."""
        self.supervision(8)
        self.clock.pump([0, 1])
        self.health.answer = [WELL, HUNG]
        self.clock.advance(4)
        for _ in range(3):
            self.clock.advance(1)
        self.assertEqual((self.pings(), len(self.health.asked)), (1, 5))
        self.health.answer = [WELL, WELL]
        self.clock.advance(1)
        self.assertEqual(self.pings(), 2)
        self.clock.advance(4)
        self.assertEqual(self.pings(), 3)

    def test_unreached(self) -> None:
        """A question that does not arrive is no reason to be restarted."""
        self.health.answer = [UNANSWERED]
        self.supervision(8)
        self.clock.pump([0, 1])
        self.assertEqual(self.pings(), 1)

    def test_no_answer(self) -> None:
        """A check that does not end tells nothing, by itself; and a stop ends it."""
        self.health.answer = None
        supervised = self.supervision(8)
        self.clock.pump([1] * 20)
        self.assertEqual((self.pings(), len(self.health.asked)), (0, 1))
        supervised.notify_stopping()
        supervised.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failed_check(self) -> None:
        """A check that fails is told in the log, is not taken for well, and is tried again."""
        self.health.answer = ValueError("check")
        self.supervision(8)
        self.clock.pump([0, 1])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.pings(), 0)
        self.health.answer = [WELL]
        self.clock.advance(1)
        self.assertEqual(self.pings(), 1)
