"""Test what make says to a user who has just unpacked the source, in a copy of the Makefile's environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from echotime import __version__

ROOT = Path(__file__).resolve().parents[2]
_BARE = """\
#!/bin/sh
# Python as in a Debian without python3-venv
[ "$1" = -Ic ] && shift && set -- -c "$@"
PYTHONPATH={folder} exec {python} "$@"
"""


def make(*arguments: str | Path) -> tuple[int, str, str]:
    """Run make, and return its status, standard output and standard error."""
    command = ["make", "-C", str(ROOT), "--no-print-directory", *map(str, arguments)]
    # `make test` passes its own options and depth on
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    return ended.returncode, ended.stdout, ended.stderr


class MakefileTests(SynchronousTestCase):
    """Run targets that end before they change anything."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="echotime-make-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def bare(self) -> Path:
        """Return a python3 without ensurepip."""
        (self.folder / "ensurepip.py").touch()
        fake = self.folder / "python3"
        fake.write_text(_BARE.format(folder=self.folder, python=sys.executable), encoding="utf-8")
        fake.chmod(0o755)
        return fake

    def test_bare_python(self) -> None:
        """Without python3-venv each target that needs it names that package in one line, and creates nothing."""
        fake, new = self.bare(), self.folder / "new"
        targets = (("run", f"VENV={new}"), ("test", f"VENV={new}"), ("install", f"DESTDIR={new}"))
        for python in (fake, self.folder / "missing"):
            for target in targets:
                with self.subTest(python=python.name, target=target[0]):
                    status, out, err = make(*target, f"PYTHON={python}")
                    self.assertEqual((status, out), (2, ""))
                    (line,) = (each for each in err.splitlines() if not re.match(r"make(\[1\])?: \*\*\* \[", each))
                    self.assertIn("; on Debian: apt install python3-venv", line)
                    self.assertFalse(new.exists())

    def test_run(self) -> None:
        """`make run` installs the package without extras."""
        status, out, _ = make("-n", "run", f"VENV={self.folder}", f"PYTHON={sys.executable}")
        self.assertEqual(status, 0)
        self.assertIn("--editable .\n", out)
        self.assertNotIn("[test", out)

    def test_image(self) -> None:
        """`make image` without a builder names one; with one it passes name, base and version on."""
        status, out, err = make("image", "ENGINE=")
        self.assertEqual((status, out), (2, ""))
        self.assertIn("no podman, buildah or docker was found; on Debian: apt install buildah\n", err)
        status, out, _ = make("image", "ENGINE=echo", "IMAGE=here/name:1", "BASE=other")
        self.assertEqual(status, 0)
        printed = out.splitlines()[-1]
        expected = (
            f"build --file Containerfile --tag here/name:1 --build-arg BASE=other --build-arg VERSION={__version__} "
        )
        self.assertTrue(printed.startswith(expected), printed)

    def test_help(self) -> None:
        """`make help` and `make` alone explain every target, and documents name only those."""
        phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert phony is not None
        status, out, _ = make("help")
        self.assertEqual(status, 0)
        self.assertEqual(make(), (0, out, ""))
        self.assertEqual(re.findall(r"^  make (\S+) +\S", out, re.MULTILINE), phony[1].split())
        for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
            named = re.findall(r"(?m)(?:^    |`)(?:\$ )?make ([a-z-]+)", page.read_text(encoding="utf-8"))
            self.assertLessEqual(set(named), set(phony[1].split()), page.name)
