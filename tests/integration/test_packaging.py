"""Install the wheel, the sdist and an editable copy, each into an empty virtual environment."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[2]
_NOT_SOURCE = (
    ".git",
    ".venv*",
    "build",
    "dist",
    "*.egg-info",
    "_trial_temp*",
    ".*_cache",
    "__pycache__",
    "dropin.cache",
    "*.mo",
)
_LIMIT = 240


def run(*command: str | Path, cwd: str | Path) -> str:
    """Run a command in an environment without the checkout, check that it succeeds, and return its output."""
    environ = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "COVERAGE_PROCESS_CONFIG"}
    }
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout}"
    return ended.stdout


@functools.cache
def work() -> Path:
    """Build wheel and sdist from a copy of the checkout, once; return the directory."""
    directory = Path(tempfile.mkdtemp(prefix="echotime-packaging-"))
    atexit.register(shutil.rmtree, directory)
    shutil.copytree(ROOT, directory / "source", ignore=shutil.ignore_patterns(*_NOT_SOURCE))
    run(sys.executable, "-m", "build", "--outdir", directory / "dist", directory / "source", cwd=directory)
    return directory


def built(pattern: str) -> Path:
    """Return the one built file that matches a pattern."""
    (found,) = (work() / "dist").glob(pattern)
    return found


class PackagingTests(SynchronousTestCase):
    """Check that `twistd echotime` works from any directory, however it was installed."""

    def assert_installs(self, *what: str | Path) -> None:
        """Check that the plugin, installed alone into an empty environment, is found from any directory."""
        home = Path(self.mktemp()).resolve()
        venv.create(home)
        # with our own pip: installing another one would take as long as everything else
        pip = (sys.executable, "-m", "pip", "--python", home / "bin" / "python", "--disable-pip-version-check")
        # most modules of the dependencies are never imported here: their bytecode would take half of the time
        run(*pip, "install", "--quiet", "--no-compile", *what, cwd=home)
        for directory in ("/", home):
            help_text = run(home / "bin" / "twistd", "echotime", "--help", cwd=directory)
            self.assertIn("--sockopt", help_text)
        self.assertIn("echotime ", run(home / "bin" / "twistd", "echotime", "--version", cwd="/"))
        chinese = run("env", "LC_ALL=zh_CN.UTF-8", home / "bin" / "echotime", "--help", cwd="/")
        self.assertIn("显示本帮助并退出", chinese)
        run(*pip, "check", cwd="/")

    def test_wheel(self) -> None:
        """The wheel installs into an empty environment."""
        self.assert_installs(built("*.whl"))

    def test_sdist(self) -> None:
        """The sdist installs into an empty environment."""
        self.assert_installs(built("*.tar.gz"))

    def test_editable(self) -> None:
        """`pip install -e .` installs into an empty environment."""
        self.assert_installs("--editable", work() / "source")

    def test_wheel_contents(self) -> None:
        """The wheel has every module of echotime, and nothing of the tests or of Twisted."""
        names = set(zipfile.ZipFile(built("*.whl")).namelist())
        ours = {str(path.relative_to(ROOT)) for path in (ROOT / "echotime").rglob("*.py")}
        ours |= {str(path.relative_to(ROOT)) for path in (ROOT / "echotime" / "web" / "static").iterdir()}
        self.assertEqual(ours - names, set())
        strangers = {name for name in names if not name.startswith(("echotime/", "twisted_echotime-"))}
        self.assertEqual(strangers, {"twisted/plugins/echotime_plugin.py"})
        self.assertIn("echotime/py.typed", names)
        (entry_points,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        with zipfile.ZipFile(built("*.whl")) as wheel:
            text = wheel.read(entry_points).decode("utf-8")
        self.assertIn("[pytest11]\nechotime = echotime.testing.plugin\n", text)
        self.assertIn("echotime/i18n/zh_CN/LC_MESSAGES/echotime.mo", names)
        for shared in (
            "man/man1/echotime.1",
            "man/man8/twistd-echotime.8",
            "bash-completion/completions/echotime.bash",
            "zsh/site-functions/_echotime",
        ):
            self.assertTrue(any(name.endswith(f".data/data/share/{shared}") for name in names), shared)

    def test_sdist_contents(self) -> None:
        """The sdist has everything a packager needs to run `make test`."""
        with tarfile.open(built("*.tar.gz")) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        for path in ("Makefile", "LICENSE", "README.md", "CHANGELOG.md", "setup.cfg", "docs/design.md"):
            self.assertIn(path, names)
        self.assertIn("etc/install.mk", names)
        tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*") if path.suffix in {".py", ".tac"}}
        self.assertEqual(tests - names, set())

    def test_name(self) -> None:
        """No document has pip fetch echotime, which is an unrelated project on the Python Package Index."""
        with zipfile.ZipFile(built("*.whl")) as wheel:
            (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
            lines = wheel.read(metadata).decode("utf-8").splitlines()
        self.assertIn("Name: twisted-echotime", lines)
        self.assertEqual([line for line in lines if re.match(r"Requires-Dist: echotime\b", line)], [])
        documents = [
            *ROOT.glob("*.md"),
            *(each for each in (ROOT / "docs").rglob("*") if each.suffix in {".md", ".in", ".py", ".1", ".8"}),
        ]
        self.assertGreater(len(documents), 9)
        for each in documents:
            self.assertIsNone(re.search(r"pip3? install ([^\s&]+ )*echotime\b", each.read_text(encoding="utf-8")), each)

    def test_twisted_is_not_shadowed(self) -> None:
        """twisted/ and twisted/plugins/ have no __init__.py, which would hide Twisted or the plugin."""
        self.assertFalse((ROOT / "twisted" / "__init__.py").exists())
        self.assertFalse((ROOT / "twisted" / "plugins" / "__init__.py").exists())
