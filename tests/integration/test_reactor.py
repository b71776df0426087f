"""Test echotime/reactor.py in a real twistd, and under Twisted's own reactor tests."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.support.plain_clients import ACKNOWLEDGEMENT, one_shot
from tests.support.twistd_process import VERBOSE, DaemonTestCase

ANY_PORTS = ("--tcp", "127.0.0.1:0", "--udp", "127.0.0.1:0")


class ReactorTests(DaemonTestCase):
    """Check which reactor runs, and that it serves."""

    def test_own_reactor(self) -> None:
        """The daemon installs its reactor, and the detailed log names it."""
        daemon = self.echotime(prefix=VERBOSE)
        daemon.line(r"reactor class: echotime\.reactor\.ChangelistReactor\.$")
        self.served(daemon)

    def test_another_reactor(self) -> None:
        """`twistd -r NAME` selects another reactor, and the daemon serves."""
        for name, found in (
            ("poll", "PollReactor"),
            ("select", "SelectReactor"),
            ("asyncio", "AsyncioSelectorReactor"),
        ):
            daemon = self.twistd("-r", name, "echotime", *ANY_PORTS, prefix=VERBOSE)
            daemon.line(rf"reactor class: twisted\.internet\.\w+\.{found}\.$")
            self.assertEqual(one_shot(daemon.address("TCP"), b"hi"), b"hi" + ACKNOWLEDGEMENT)
            self.served(daemon)

    def test_another_application(self) -> None:
        """`twistd -r echotime` runs other applications."""
        web = self.twistd("-r", "echotime", "web", "--listen", "tcp:0:interface=127.0.0.1")
        web.line(r"reactor class: echotime\.reactor\.ChangelistReactor\.$")
        port = int(web.line(r"Site starting on (\d+)")[1])
        answer = one_shot(("127.0.0.1", port), b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.0 200 OK"), answer)
        web.stop()


class ReactorSuiteTests(SynchronousTestCase):
    """Run Twisted's tests for every reactor on its EPollReactor and on ours."""

    def test_what_passes_on_epoll_passes_on_ours(self) -> None:
        """Every test that passes on EPollReactor in this run passes on ChangelistReactor."""
        suite = subprocess.run(
            [sys.executable, "-m", "tests.integration.reactor_suite"], capture_output=True, text=True, check=False
        )
        self.assertEqual(suite.returncode, 0, suite.stdout + suite.stderr)
        self.assertRegex(suite.stdout, r"[1-9]\d\d tests pass on EPollReactor")
