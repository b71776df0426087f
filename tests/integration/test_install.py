"""Test `make install` and `make uninstall`: the files, the programs, and files that an administrator edited."""

from __future__ import annotations

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
    """Return the output of a command that ends with this status. Its environment has no path of the checkout."""
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
    """Test an installation with DESTDIR and its upgrade without. All checks share them, because each takes long."""

    def setUp(self) -> None:
        """Create a folder that every user may enter."""
        if (
            not Path(_PYTHON).exists()
            or subprocess.run([_PYTHON, "-c", _CAN], capture_output=True, check=False).returncode
        ):
            raise SkipTest(f"{_PYTHON} does not exist, is older than 3.10, or has no ensurepip")
        self.folder = Path(tempfile.mkdtemp(prefix="echotime-install-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.system = self.folder / "system"
        self.home = self.system / "usr/lib/echotime"
        self.etc = self.system / "etc"

    def make(self, target: str, *variables: str, status: int = 0) -> str:
        """Run make for the folders of this test, and leave the systemd of the machine alone."""
        folders = (f"PREFIX={self.system}/usr", f"SYSCONFDIR={self.etc}", "SYSTEMCTL=:")
        return run("make", "-s", target, *folders, *variables, cwd=ROOT, status=status)

    def tree(self) -> set[str]:
        """Return the paths of all files and folders."""
        return {str(each.relative_to(self.system)) for each in self.system.rglob("*")}

    def environments(self) -> set[Path]:
        """Return the folders of the installed environments."""
        return {each for each in self.home.iterdir() if each.is_dir() and not each.is_symlink()}

    def test_all(self) -> None:
        """Check an installation from DESTDIR, its programs, a failing upgrade, an upgrade, and the removal."""
        printed = self.make("install", f"DESTDIR={self.folder}/staged")
        self.assertTrue(printed.endswith(" is installed.\n"), printed)
        (self.folder / "staged" / self.system.relative_to("/")).rename(self.system)
        self.assert_installed()
        self.assert_runs()
        self.assert_fails()
        self.assert_upgrades()
        self.assert_removes()

    def assert_installed(self) -> None:
        """Check that no file contains DESTDIR, and that units contain the paths of this installation."""
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
            "usr/share/doc/echotime/docs/options.md",
            "usr/share/doc/echotime/etc/examples/haproxy.cfg",
            "usr/share/doc/echotime/etc/prometheus/echotime.rules.yml",
        ):
            self.assertEqual((self.system / path).stat().st_mode & 0o777, 0o644, path)
        programs = {each.name for each in (self.home / "bin").iterdir()}
        self.assertEqual(
            {name for name in programs if not name.startswith("python")}, {"echotime", "twistd", "twistd-echotime"}
        )

    def assert_runs(self) -> None:
        """Check that an unprivileged user, who cannot write there, gets no warnings from the programs."""
        self.tools = self.system / "usr/bin"
        as_nobody = _NOBODY if os.geteuid() == 0 else ()
        self.assertIn("echotime ", run(*as_nobody, self.tools / "echotime", "--version"))
        conf = self.etc / "echotime/echotime.conf"
        printed = run(*as_nobody, self.tools / "twistd-echotime", "echotime", "--check", "--config", conf)
        self.assertEqual(printed, f"{conf}: no faults\n")
        # every module that the daemon imports has bytecode, and the plugin cache is current
        before = self.tree()
        run(self.tools / "twistd-echotime", "echotime", "--version")
        run(self.tools / "echotime", "explain", "SO_LINGER")
        self.assertEqual(self.tree(), before)
        printed = run(
            *as_nobody, self.tools / "twistd-echotime", "-n", "--pidfile=", "echotime", "--tcp", "nobody:1", status=2
        )
        self.assertNotIn("plugin cache", printed)

    def assert_fails(self) -> None:
        """Check that an upgrade for which pip finds no wheels changes nothing."""
        before = self.tree()
        folders = (f"PREFIX={self.system}/usr", f"SYSCONFDIR={self.etc}", "SYSTEMCTL=:")
        offline = ("env", "PIP_NO_INDEX=1", f"PIP_FIND_LINKS={self.folder}")
        self.assertIn("No matching distribution", run(*offline, "make", "-s", "install", *folders, cwd=ROOT, status=2))
        self.assertEqual(self.tree(), before)
        run(self.tools / "echotime", "--version")

    def assert_upgrades(self) -> None:
        """Check that a running daemon continues, an edited file is kept, and stale files are removed."""
        default, conf = self.etc / "default/echotime", self.etc / "echotime/echotime.conf"
        new_conf = conf.read_text(encoding="utf-8")
        default.write_text("ECHOTIME_OPTIONS=--reply ok\n", encoding="utf-8")
        conf.write_text("of another version", encoding="utf-8")
        stale = self.system / "usr/share/doc/echotime/old.md"
        (first,) = self.environments()
        self.make_older(first, stale)
        daemon = subprocess.Popen(
            [str(self.home / "bin/twistd"), "-n", "--pidfile=", "echotime", "--tcp", "127.0.0.1:0"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(daemon.wait, _LIMIT)
        self.addCleanup(daemon.kill)
        assert daemon.stdout is not None
        port = next(line.rpartition(":")[2].strip() for line in daemon.stdout if "listening on TCP" in line)
        printed = self.make("install")
        self.assertIn(f"{default} was edited and is kept; the new version is {default}.new\n", printed)
        self.assertNotIn(f"{conf} was edited", printed)
        self.assertIn(f"\nNext, with the options in {conf} (man twistd-echotime):\n  ", printed)
        self.assertIn(f"\n  {self.tools}/echotime check 127.0.0.1  #", printed)
        self.assertEqual(default.read_text(encoding="utf-8"), "ECHOTIME_OPTIONS=--reply ok\n")
        self.assertIn("ECHOTIME_OPTIONS", default.with_name("echotime.new").read_text(encoding="utf-8"))
        self.assertEqual(conf.read_text(encoding="utf-8"), new_conf)
        self.assertFalse(stale.exists() or conf.with_name("echotime.conf.new").exists())
        # the environment of the running daemon is kept, and a new one is in use
        self.assertEqual(len(self.environments()), 2)
        self.assertIn(first, self.environments())
        self.assertNotEqual((self.home / "bin").resolve().parent, first)
        printed = run(self.tools / "echotime", "send", "--verify", f"127.0.0.1:{port}", "still there")
        self.assertIn("still there", printed)
        daemon.terminate()
        daemon.wait(_LIMIT)
        daemon.stdout.close()

    def make_older(self, environment: Path, stale: Path) -> None:
        """Turn an environment into that of an older version, with other files in /etc and one more file."""
        for path in ("default/echotime", "echotime/echotime.conf"):
            (environment / "etc" / path).write_text("of another version", encoding="utf-8")
        stale.write_text("old", encoding="utf-8")
        with (environment / "files").open("a", encoding="utf-8") as files:
            files.write(f"{stale.relative_to('/')}\n")

    def assert_removes(self) -> None:
        """Check that uninstalling keeps only edited files and files of others."""
        stranger = self.system / "usr/bin/stranger"
        stranger.touch()
        printed = self.make("uninstall")
        self.assertIn(f"{self.etc}/default/echotime was edited and is kept\n", printed)
        self.assertEqual(
            {each for each in self.tree() if not (self.system / each).is_dir()},
            {"etc/default/echotime", "usr/bin/stranger"},
        )
        self.assertEqual([path for path in self.tree() if path.endswith("/echotime")], ["etc/default/echotime"])
        self.assertIn(f"echotime is not installed in {self.home}\n", self.make("uninstall"))


class SampleTests(SynchronousTestCase):
    """Test the sample configuration etc/echotime.conf."""

    def test_no_faults(self) -> None:
        """Check that the file is valid as installed, and with every commented option enabled."""
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
    """Test a Python that the daemon could not run."""

    def test_hidden(self) -> None:
        """Check that a Python in a folder that the units hide is refused before anything is created."""
        folder = Path(tempfile.mkdtemp(prefix="echotime-install-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, folder)
        python = folder / "python3"
        python.symlink_to(_PYTHON)
        printed = run("make", "-s", "install", f"PYTHON={python}", f"DESTDIR={folder}/root", status=2, cwd=ROOT)
        self.assertIn(
            f"PYTHON is in {python}; expected it outside /home, /root and /tmp, which the units hide\n", printed
        )
        self.assertEqual({each.name for each in folder.iterdir()}, {"python3"})
