"""Run pytest with the plugin echotime on tests that a test writes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.support.twistd_process import LIMIT

# as the program pytest does, without the current directory on the path
_PYTEST = [sys.executable, "-c", "import sys; sys.path.remove(''); import pytest; sys.exit(pytest.main())"]
# the plugin by its module, so that the tests do not depend on what is installed
_PYTEST += ["-p", "echotime.testing.plugin", "-p", "no:echotime", "-p", "no:cacheprovider"]

# pytest prints more or other lines with these, the first two of which services for continuous integration set
_UNWANTED = {"CI", "BUILD_NUMBER", "FORCE_COLOR", "PY_COLORS", "PYTEST_ADDOPTS"}
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _UNWANTED}


class PytestCase(SynchronousTestCase):
    """Run pytest in a folder with tests. Temporary files go to a folder of their own."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="e")
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name) / "tests"
        self._temporary = Path(directory.name) / "t"
        for each in (self.folder, self._temporary):
            each.mkdir()
        (self.folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")

    def write(self, source: str, name: str = "test_it.py") -> None:
        """Write a file of tests."""
        (self.folder / name).write_text(source, encoding="utf-8")

    def start_pytest(self, *options: str) -> subprocess.Popen[str]:
        """Start pytest, which ends with the test."""
        child = subprocess.Popen(
            [*_PYTEST, *options],
            cwd=self.folder,
            env=_ENVIRONMENT | {"TMPDIR": str(self._temporary), "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(self._end, child)
        return child

    @staticmethod
    def _end(child: subprocess.Popen[str]) -> None:
        with child:
            child.kill()

    def run_pytest(self, *options: str, **expected: int) -> str:
        """Return the output of pytest, whose tests must have these outcomes and no others, and leave no file."""
        output = self.start_pytest(*options).communicate(timeout=2 * LIMIT)[0]
        counts = output.strip().splitlines()[-1].strip("= ").rpartition(" in ")[0].split(", ")
        self.assertEqual(counts, [f"{number} {outcome}" for outcome, number in expected.items()], output)
        self.assertEqual([each.name for each in self._temporary.iterdir() if "pytest-of" not in each.name], [])
        return output
