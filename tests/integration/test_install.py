"""Test `make install` and `make uninstall`: files, function, and an administrator's changes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from echotime.config.options import DaemonOptions

ROOT = Path(__file__).resolve().parents[2]
_PYTHON = "/usr/bin/python3"
_LIMIT = 240
_CAN = "import ensurepip, sys; sys.exit(sys.version_info < (3, 10))"
_NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


def run(*command: str | Path, status: int = 0, cwd: str | Path = "/") -> str:
    """Run a command in an environment without the checkout, check its exit status, and return its output."""
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    environ |= {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "HOME"}
    ended = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert ended.returncode == status, f"{command}: {ended.returncode}: {ended.stdout}"
    return ended.stdout


class InstallTests(SynchronousTestCase):
    """Install as a package and as an administrator, in turn, with one installation as it takes long."""

    def setUp(self) -> None:
        """Make a folder that all users may enter."""
        if (
            not Path(_PYTHON).exists()
            or subprocess.run([_PYTHON, "-c", _CAN], capture_output=True, check=False).returncode
        ):
            raise SkipTest(f"{_PYTHON} is not there, older than 3.10, or without ensurepip")
        self.folder = Path(tempfile.mkdtemp(prefix="echotime-install-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.system = self.folder / "system"
        self.home = self.system / "usr/lib/echotime"
        self.etc = self.system / "etc"

    def make(self, target: str, *variables: str, status: int = 0) -> str:
        """Run make with the paths of this test."""
        places = (f"PREFIX={self.system}/usr", f"SYSCONFDIR={self.etc}")
        return run("make", "-s", target, *places, *variables, cwd=ROOT, status=status)

    def tree(self) -> set[str]:
        """Return all paths in the installation."""
        return {str(each.relative_to(self.system)) for each in self.system.rglob("*")}

    def mark(self) -> set[Path]:
        """Return the folders of the installed environments."""
        return {each for each in self.home.iterdir() if each.is_dir() and not each.is_symlink()}

    def test_all(self) -> None:
        """A staged installation runs for another user, is upgraded beside a running daemon, and is removed."""
        self.make("install", f"DESTDIR={self.folder}/staged")
        (self.folder / "staged" / self.system.relative_to("/")).rename(self.system)
        self.assert_brought()
        self.assert_runs()
        self.assert_fails()
        self.assert_upgrades()
        self.assert_removes()

    def assert_brought(self) -> None:
        """Check the installed files: they name the final paths, not those of the staging directory."""
        found = run("grep", "-rlF", f"{self.folder}/staged", self.system, status=1)
        self.assertEqual(found, "")
        unit = (self.system / "usr/lib/systemd/system/echotime.service").read_text(encoding="utf-8")
        self.assertIn(f"ExecStart={self.home}/bin/twistd ", unit)
        self.assertIn(f"EnvironmentFile=-{self.etc}/default/echotime\n", unit)
        self.assertNotIn("/usr/lib/echotime", unit.replace(str(self.home), ""))
        for path in (
            "etc/default/echotime",
            "etc/echotime/echotime.conf",
            "usr/share/man/man1/echotime.1",
            "usr/share/man/man8/twistd-echotime.8",
            "usr/share/bash-completion/completions/echotime",
            "usr/share/bash-completion/completions/twistd-echotime",
            "usr/share/zsh/site-functions/_echotime",
            "usr/share/doc/echotime/docs/configuration.md",
        ):
            self.assertEqual((self.system / path).stat().st_mode & 0o777, 0o644, path)
        programs = {each.name for each in (self.home / "bin").iterdir()}
        self.assertEqual({name for name in programs if not name.startswith("python")}, {"echotime", "twistd"})

    def assert_runs(self) -> None:
        """Check that the programs run for an unprivileged user, without writing or warning."""
        self.tools = self.system / "usr/bin"
        as_nobody = _NOBODY if os.geteuid() == 0 else ()
        self.assertIn("echotime ", run(*as_nobody, self.tools / "echotime", "--version"))
        conf = self.etc / "echotime/echotime.conf"
        output = run(*as_nobody, self.tools / "twistd-echotime", "echotime", "--check", "--config", conf)
        self.assertEqual(output, f"{conf}: no faults\n")
        # every module is installed as bytecode, and the plugin cache is current
        before = self.tree()
        run(self.tools / "twistd-echotime", "echotime", "--version")
        run(self.tools / "echotime", "explain", "SO_LINGER")
        self.assertEqual(self.tree(), before)
        output = run(
            *as_nobody, self.tools / "twistd-echotime", "-n", "--pidfile=", "echotime", "--tcp", "nobody:1", status=2
        )
        self.assertNotIn("plugin cache", output)

    def assert_fails(self) -> None:
        """Check that an upgrade for which pip finds no wheels changes nothing."""
        before = self.tree()
        places = (f"PREFIX={self.system}/usr", f"SYSCONFDIR={self.etc}")
        without = ("env", "PIP_NO_INDEX=1", f"PIP_FIND_LINKS={self.folder}")
        self.assertIn("No matching distribution", run(*without, "make", "-s", "install", *places, cwd=ROOT, status=2))
        self.assertEqual(self.tree(), before)
        run(self.tools / "echotime", "--version")

    def assert_upgrades(self) -> None:
        """Check an upgrade beside a running daemon: edited and removed files stay so, new versions are beside them."""
        default, conf = self.etc / "default/echotime", self.etc / "echotime/echotime.conf"
        default.write_text("ECHOTIME_OPTIONS=--reply ok\n", encoding="utf-8")
        conf.unlink()
        stale = self.system / "usr/share/doc/echotime/old.md"
        self.alter_record(default, stale)
        (first,) = self.mark()
        daemon = subprocess.Popen(
            [str(self.home / "bin/twistd"), "-n", "--pidfile=", "echotime", "--tcp", "127.0.0.1:0"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(daemon.wait, 20)
        self.addCleanup(daemon.kill)
        assert daemon.stdout is not None
        port = next(line.rpartition(":")[2].strip() for line in daemon.stdout if "listening on TCP" in line)
        output = self.make("install")
        self.assertIn(f"{default} was edited, and stays so; what is brought now is in {default}.new\n", output)
        self.assertIn(f"{conf} was removed, and stays so\n", output)
        self.assertEqual(default.read_text(encoding="utf-8"), "ECHOTIME_OPTIONS=--reply ok\n")
        self.assertIn("ECHOTIME_OPTIONS", default.with_name("echotime.new").read_text(encoding="utf-8"))
        self.assertFalse(conf.exists() or stale.exists())
        # the environment of the running daemon is kept, and another one is current
        self.assertEqual(len(self.mark()), 2)
        self.assertIn(first, self.mark())
        self.assertNotEqual((self.home / "bin").resolve().parent, first)
        output = run(self.tools / "echotime", "send", "--verify", f"127.0.0.1:{port}", "still there")
        self.assertIn("still there", output)
        daemon.terminate()
        daemon.wait(20)
        daemon.stdout.close()

    def alter_record(self, edited: Path, stale: Path) -> None:
        """Change the record as if an older version had installed the one file differently, and the other, too."""
        record = self.home / "installed"
        stale.write_text("old", encoding="utf-8")
        held = [line for line in record.read_text(encoding="utf-8").splitlines() if not line.endswith(f" {edited}")]
        for path, content in ((edited, b"of another version"), (stale, b"old")):
            held.append(f"{hashlib.sha256(content).hexdigest()} {path}")
        record.write_text("\n".join([*held, ""]), encoding="utf-8")

    def assert_removes(self) -> None:
        """Check that everything is removed except edited files and files of others."""
        stranger = self.system / "usr/bin/stranger"
        stranger.touch()
        output = self.make("uninstall")
        self.assertIn(f"{self.etc}/default/echotime was edited, and stays\n", output)
        self.assertEqual(
            {each for each in self.tree() if not (self.system / each).is_dir()},
            {"etc/default/echotime", "usr/bin/stranger"},
        )
        self.assertFalse((self.system / "usr/lib").exists() or (self.system / "usr/share").exists())
        self.assertIn("nothing of echotime is installed", self.make("uninstall"))


class SampleTests(SynchronousTestCase):
    """Read the sample configuration etc/echotime.conf."""

    def test_no_faults(self) -> None:
        """The sample is valid as it is, and with every option in it uncommented."""
        text = (ROOT / "etc" / "echotime.conf").read_text(encoding="utf-8")
        shown = re.sub(r"(?m)^#(?=[a-z-]+ = |    )", "", text)
        self.assertEqual(shown.count(" = "), text.count(" = "))
        for each in (text, shown):
            sample = Path(self.mktemp()).resolve()
            sample.write_text(each, encoding="utf-8")
            options = DaemonOptions()
            options.parseOptions(["--config", str(sample)])
        self.assertEqual((options.settings.reply, len(options.settings.allow)), (b"ok", 2))


class InterpreterTests(SynchronousTestCase):
    """Install with a Python that the daemon's user could not run."""

    def test_hidden(self) -> None:
        """A hidden interpreter is refused with the reason, before anything is made."""
        folder = Path(tempfile.mkdtemp(prefix="echotime-install-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, folder)
        python = folder / "python3"
        python.symlink_to(_PYTHON)
        output = run("make", "-s", "install", f"PYTHON={python}", f"DESTDIR={folder}/root", status=2, cwd=ROOT)
        self.assertIn(f"make install: this Python cannot be used: {python} is below /tmp, which the units hide", output)
        self.assertEqual({each.name for each in folder.iterdir()}, {"python3"})
