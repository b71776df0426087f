"""echotime/reactor.py under Twisted's own reactor tests."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase


class ReactorSuiteTests(SynchronousTestCase):
    """Twisted's tests for every reactor, run on its EPollReactor and on ours."""

    def test_what_passes_on_epoll_passes_on_ours(self) -> None:
        """Every test that passes on EPollReactor in this run passes on ChangelistReactor."""
        suite = subprocess.run(
            [sys.executable, "-m", "tests.integration.reactor_suite"], capture_output=True, text=True, check=False
        )
        self.assertEqual(suite.returncode, 0, suite.stdout + suite.stderr)
        self.assertRegex(suite.stdout, r"[1-9]\d\d tests pass on EPollReactor")
