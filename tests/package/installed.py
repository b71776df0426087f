"""Test the result of `make install` in /usr/local under a running systemd, and `make uninstall` there."""

from __future__ import annotations

import os
import unittest
from pathlib import Path

from tests.package.machine import BOTH, DEFAULT, PACKAGES, echo, run, show, time, traces

ROOT = Path(__file__).parents[2]


@unittest.skipIf("ECHOTIME_PACKAGES" not in os.environ, "runs in the container that `make test-deb` boots")
class InstalledTests(unittest.TestCase):
    """Test an installation that was made with DESTDIR, and copied."""

    def test_all(self) -> None:
        """Check that the units run in their sandbox, and that uninstalling stops and disables all but edited files."""
        before = traces()
        run("cp", "-a", f"{PACKAGES}/staged/.", "/")
        run("systemctl", "daemon-reload")
        run("systemctl", "enable", "--now", *BOTH, "echotime@7777.socket", "echotime-check@127.0.0.1.timer")
        self.assertEqual(show(BOTH[1], "FragmentPath"), f"/usr/local/lib/systemd/system/{BOTH[1]}")
        self.assertEqual((echo(b"hi"), len(time())), (b"hi\nI get it!\n", 4))
        self.assertEqual(run("systemd-analyze", "verify", "--man=no", "--recursive-errors=one", *BOTH), "")
        warned = run("journalctl", "-u", BOTH[1], "-p", "warning", "-q", "-o", "cat", "--no-pager")
        self.assertEqual(warned, "")
        DEFAULT.write_text("# edited\n", encoding="utf-8")
        run("systemctl", "enable", "--now", "echotime-worker@1.service")
        run("systemctl", "enable", "--now", "echotime-http.socket")
        printed = run("make", "-s", "-C", ROOT, "uninstall")
        self.assertEqual(printed, f"{DEFAULT} was edited and is kept\nechotime is uninstalled\n")
        self.assertRaises(ConnectionRefusedError, echo, b"hi")
        stopped = (
            "echotime@7777.socket",
            "echotime-http.socket",
            "echotime-worker@1.service",
            "echotime-check@127.0.0.1.timer",
        )
        for unit in (*BOTH, *stopped):
            self.assertEqual((show(unit, "ActiveState"), show(unit, "LoadState")), ("inactive", "not-found"), unit)
        self.assertEqual(traces() - before, {DEFAULT})
        DEFAULT.unlink()
