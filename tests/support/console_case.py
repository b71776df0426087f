"""Run the commands that a document shows, as their reader would, and compare what they print."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.tool_case import ENGLISH
from tests.support.twistd_process import DaemonTestCase
from tests.support.veth_pair import Cable

ROOT = Path(__file__).parents[2]
SCRIPTS = sysconfig.get_path("scripts")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class ConsoleCase(DaemonTestCase):
    """Run commands in an empty folder, in a network namespace where port 12345 is free."""

    def setUp(self) -> None:
        super().setUp()
        self.need("nc", "setsid", "timeout")
        if not Path(SCRIPTS, "echotime").exists():
            self.skipTest("the tool echotime is not installed")
        if b"OpenBSD" not in subprocess.run(["nc", "-h"], capture_output=True, check=False).stderr:
            self.skipTest("nc is not that of OpenBSD")
        self.addCleanup(Cable().leave)
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.environment = {
            **os.environ,
            **ENGLISH,
            "PATH": f"{SCRIPTS}:{PATH}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }

    def spawn(self, line: str) -> subprocess.Popen[bytes]:
        """Start a command of a shell; its output is one stream."""
        return subprocess.Popen(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def assert_output(self, expected: str, output: str) -> None:
        """Compare output; `...` in the expected text stands for any text."""
        expected, output = (re.sub(r"\s*\n", "\n", text).strip() + "\n" for text in (expected, output))
        if not doctest.OutputChecker().check_output(expected, output, doctest.ELLIPSIS):
            self.assertEqual(output, expected)
