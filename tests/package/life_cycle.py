"""The package installed, upgraded under load, removed and purged. On the system's Python: standard library only."""

from __future__ import annotations

import os
import threading
import unittest
from pathlib import Path

from tests.package.asking import BOTH, CONF, DEFAULT, LIMIT, PACKAGES, echo, run, show, time, traces

HOME = Path("/usr/lib/echotime")


def dpkg(*words: str | Path) -> str:
    """Without the triggers of other packages, which have no configuration here."""
    return run("dpkg", "--no-triggers", "--force-confold", *words)


class Clients(threading.Thread):
    """One after another, until it is enough."""

    def __init__(self) -> None:
        super().__init__()
        self.enough = threading.Event()
        self.answers: set[bytes] = set()
        self.served = 0
        self.failed: Exception | None = None

    def run(self) -> None:
        """Any failure ends it."""
        try:
            while not self.enough.is_set():
                self.answers.add(echo(b"hi"))
                assert len(time()) == 4
                self.served += 1
        except Exception as error:
            self.failed = error


@unittest.skipIf("ECHOTIME_PACKAGES" not in os.environ, "runs in the container that `make test-deb` boots")
class LifeCycleTests(unittest.TestCase):
    """What dpkg does, and what it leaves."""

    def setUp(self) -> None:
        """It is installed, and of nothing else a trace."""
        self.before = traces()
        dpkg("-i", PACKAGES / "built.deb")
        self.addCleanup(dpkg, "-P", "echotime")

    def test_installed(self) -> None:
        """It runs and serves, is enabled, and complains of nothing; its tools are there."""
        self.assertEqual((echo(b"hi"), len(time())), (b"hi\nI get it!\n", 4))
        for unit in BOTH:
            self.assertEqual((show(unit, "ActiveState"), show(unit, "UnitFileState")), ("active", "enabled"))
        self.assertEqual(show("echotime-direct.service", "UnitFileState"), "disabled")
        run("journalctl", "--sync")
        said = run("journalctl", "-u", "echotime.service", "-o", "cat", "--no-pager")
        self.assertIn("listening on TCP", said)
        self.assertNotIn("plugin cache", said)
        self.assertEqual(
            run("journalctl", "-u", "echotime.service", "-p", "warning", "-q", "-o", "cat", "--no-pager"), ""
        )
        self.assertIn("connections: 0 of ", run("echotime", "control", "status"))
        self.assertIn("no faults", run("twistd-echotime", "echotime", "--check", "--config", CONF))
        self.assertEqual(run("systemd-analyze", "verify", "--man=no", "--recursive-errors=one", *BOTH), "")
        self.assertEqual(run("dpkg", "--verify", "echotime"), "")

    def test_upgraded(self) -> None:
        """Every client is served meanwhile; the sockets are the same, the daemon is another; an edited file stays."""
        DEFAULT.write_text('ECHOTIME_OPTIONS="--reply ok"\n', encoding="utf-8")
        instance = "echotime@7777.service"
        run("systemctl", "start", "echotime@7777.socket", instance)
        processes = [int(show(unit, "MainPID")) for unit in (BOTH[1], instance)]
        opened = show(BOTH[0], "ActiveEnterTimestampMonotonic")
        clients = Clients()
        clients.start()
        try:
            dpkg("-i", PACKAGES / "newer.deb")
            self.assertEqual(echo(b"hi"), b"hi\nI get it!\nok")
        finally:
            clients.enough.set()
            clients.join(LIMIT)
        self.assertIsNone(clients.failed)
        self.assertGreater(clients.served, 10)
        self.assertLessEqual(clients.answers, {b"hi\nI get it!\n", b"hi\nI get it!\nok"})
        print(f"clients served during the upgrade: {clients.served}", flush=True)
        self.assertEqual(show(BOTH[0], "ActiveEnterTimestampMonotonic"), opened)
        for unit, before in zip((BOTH[1], instance), processes, strict=True):
            self.assertNotIn(int(show(unit, "MainPID")), {0, before})
        self.assertEqual({each.name for each in HOME.iterdir()}, {"99.0", "bin"})
        self.assertIn("some constant reply", DEFAULT.with_name("echotime.dpkg-dist").read_text(encoding="utf-8"))

    def test_stopped_and_disabled(self) -> None:
        """What an administrator stopped and disabled is that after an upgrade, too."""
        run("systemctl", "disable", "--now", *BOTH)
        dpkg("-i", PACKAGES / "newer.deb")
        for unit in BOTH:
            self.assertEqual((show(unit, "ActiveState"), show(unit, "UnitFileState")), ("inactive", "disabled"))

    def test_removed_and_purged(self) -> None:
        """Removed it is stopped, and its configuration is kept; purged there is no trace of it, nor of an instance."""
        run("systemctl", "enable", "--now", "echotime@7777.socket")
        echo(b"hi")
        dpkg("-r", "echotime")
        self.assertRaises(ConnectionRefusedError, echo, b"hi")
        self.assertTrue(DEFAULT.exists() and CONF.exists())
        self.assertFalse(HOME.exists())
        for unit in (*BOTH, "echotime@7777.socket"):
            self.assertEqual((show(unit, "ActiveState"), show(unit, "LoadState")), ("inactive", "not-found"), unit)
        dpkg("-P", "echotime")
        self.assertEqual(traces(), self.before)
