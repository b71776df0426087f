"""Install, upgrade under load, remove and purge the package. On the system's Python: standard library only."""

from __future__ import annotations

import os
import threading
import unittest
from pathlib import Path

from tests.package.machine import BOTH, CONF, DEFAULT, LIMIT, PACKAGES, echo, run, show, time, traces

HOME = Path("/usr/lib/echotime")


def dpkg(*arguments: str | Path) -> str:
    """Run dpkg without the triggers of other packages, which are not configured here."""
    return run("dpkg", "--no-triggers", "--force-confold", *arguments)


class Clients(threading.Thread):
    """Connect clients one after another, until `enough` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.enough = threading.Event()
        self.answers: set[bytes] = set()
        self.served = 0
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            while not self.enough.is_set():
                self.answers.add(echo(b"hi"))
                assert len(time()) == 4
                self.served += 1
        except Exception as error:
            self.failed = error


@unittest.skipIf("ECHOTIME_PACKAGES" not in os.environ, "runs in the container that `make test-deb` boots")
class LifeCycleTests(unittest.TestCase):
    """Check the results of dpkg commands, and the files they leave."""

    def setUp(self) -> None:
        """Install the package, with no other trace of it in the system."""
        self.before = traces()
        dpkg("-i", PACKAGES / "built.deb")
        self.addCleanup(dpkg, "-P", "echotime")

    def test_installed(self) -> None:
        """After installation the units are enabled and serve without warnings, and the tools are there."""
        self.assertEqual((echo(b"hi"), len(time())), (b"hi\nI get it!\n", 4))
        for unit in BOTH:
            self.assertEqual((show(unit, "ActiveState"), show(unit, "UnitFileState")), ("active", "enabled"))
        self.assertEqual(show("echotime-direct.service", "UnitFileState"), "disabled")
        run("journalctl", "--sync")
        output = run("journalctl", "-u", "echotime.service", "-o", "cat", "--no-pager")
        self.assertIn("listening on TCP", output)
        self.assertNotIn("plugin cache", output)
        self.assertEqual(
            run("journalctl", "-u", "echotime.service", "-p", "warning", "-q", "-o", "cat", "--no-pager"), ""
        )
        self.assertIn("connections: 0 of ", run("echotime", "control", "status"))
        self.assertIn("no faults", run("twistd-echotime", "echotime", "--check", "--config", CONF))
        self.assertEqual(run("systemd-analyze", "verify", "--man=no", "--recursive-errors=one", *BOTH), "")
        self.assertEqual(run("dpkg", "--verify", "echotime"), "")

    def test_upgraded(self) -> None:
        """An upgrade serves every client, keeps the sockets and edited files, and replaces the daemons."""
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
        self.assertIn("any further options", DEFAULT.with_name("echotime.dpkg-dist").read_text(encoding="utf-8"))

    def test_workers_are_upgraded(self) -> None:
        """An upgrade restarts workers, serves every client, and does not start the service that they replace."""
        workers = [f"echotime-worker@{number}.service" for number in (1, 2)]
        run("systemctl", "disable", "--now", BOTH[1])
        run("systemctl", "enable", "--now", *workers)
        processes = [int(show(unit, "MainPID")) for unit in workers]
        clients = Clients()
        clients.start()
        try:
            dpkg("-i", PACKAGES / "newer.deb")
        finally:
            clients.enough.set()
            clients.join(LIMIT)
        self.assertIsNone(clients.failed)
        for unit, before in zip(workers, processes, strict=True):
            self.assertNotIn(int(show(unit, "MainPID")), {0, before})
        self.assertEqual(show(BOTH[1], "ActiveState"), "inactive")

    def test_stopped_and_disabled(self) -> None:
        """Units that an administrator stopped and disabled stay so after an upgrade."""
        run("systemctl", "disable", "--now", *BOTH)
        dpkg("-i", PACKAGES / "newer.deb")
        for unit in BOTH:
            self.assertEqual((show(unit, "ActiveState"), show(unit, "UnitFileState")), ("inactive", "disabled"))

    def test_removed_and_purged(self) -> None:
        """Removing the package stops its units and keeps its configuration; purging leaves no trace."""
        more = ("echotime@7777.socket", "echotime-worker@1.service", "echotime-check@127.0.0.1.timer")
        run("systemctl", "enable", "--now", *more)
        echo(b"hi")
        dpkg("-r", "echotime")
        self.assertRaises(ConnectionRefusedError, echo, b"hi")
        self.assertTrue(DEFAULT.exists() and CONF.exists())
        self.assertFalse(HOME.exists())
        for unit in (*BOTH, *more):
            self.assertEqual((show(unit, "ActiveState"), show(unit, "LoadState")), ("inactive", "not-found"), unit)
        dpkg("-P", "echotime")
        self.assertEqual(traces(), self.before)


@unittest.skipIf("ECHOTIME_PACKAGES" not in os.environ, "runs in the container that `make test-deb` boots")
class MaskedTests(unittest.TestCase):
    """Install the package with its units masked, as docs/install.md shows."""

    def test_masked(self) -> None:
        """Nothing is served until the units are unmasked and enabled."""
        before = traces()
        run("systemctl", "mask", *BOTH)
        dpkg("-i", PACKAGES / "built.deb")
        self.addCleanup(dpkg, "-P", "echotime")
        self.assertRaises(ConnectionRefusedError, echo, b"hi")
        run("systemctl", "unmask", *BOTH)
        self.assertRaises(ConnectionRefusedError, echo, b"hi")
        run("systemctl", "enable", "--now", *BOTH)
        self.assertEqual((echo(b"hi"), len(time())), (b"hi\nI get it!\n", 4))
        dpkg("-P", "echotime")
        self.assertEqual(traces(), before)
