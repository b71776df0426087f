"""Boot this machine's systemd in a container, run the tests of this folder there, and exit with their status.

``python -m tests.systemd.container FOLDER [TEST...]``: the folder keeps the files made for it, such as a virtual
environment of the system's Python. The container has this machine's /usr, read-only, an empty /etc and /var
(`--volatile=yes`) and a network of its own. Nothing is installed on the machine, and nothing is left. Where no
container can run, the reason is printed and the exit status is 0.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTALLED = "/usr/lib/echotime"
"""Where the units expect the environment."""
INSIDE = "/srv"
"""Where the environment is in the container; the same place would need a folder in the machine's own /usr."""
UNIT_SUFFIXES = {".service", ".socket", ".timer"}
LIMIT = 900
"""Seconds for everything that happens in the container."""
_CGROUPS = ("/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/systemd")
_TESTS = "tests.systemd"
_CHECK = f"""\
[Unit]
Description=The tests
Wants=basic.target
After=basic.target
SuccessAction=exit
FailureAction=exit

[Service]
Type=exec
WorkingDirectory=/run/tests
Environment=PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ECHOTIME_CONTAINER=yes
ExecStart={INSIDE}/bin/python -m twisted.trial --temp-directory /run/trial %s
StandardOutput=append:/run/out/log
StandardError=inherit
RuntimeMaxSec={LIMIT}
"""


class Impossible(Exception):
    """Report why systemd cannot be booted here."""


def run(*command: str, **more: str) -> None:
    """Run a step of the preparation. Raises Impossible with the last line of its errors."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **more})
    if ended.returncode:
        last = (ended.stderr.strip() or ended.stdout.strip() or str(ended.returncode)).splitlines()[-1]
        raise Impossible(f"{command[0]}: {last}")


def nspawn(folder: Path) -> Path:
    """Return the path of systemd-nspawn, installed or unpacked from its package.

    Installing the package might replace a running systemd.
    """
    found = shutil.which("systemd-nspawn")
    unpacked = folder / "package" / "usr" / "bin" / "systemd-nspawn"
    if found is None and not unpacked.exists():
        if shutil.which("apt-get") is None:
            raise Impossible("systemd-nspawn is not installed")
        download = folder / "download"
        shutil.rmtree(download, ignore_errors=True)
        download.mkdir(parents=True)
        before = Path.cwd()
        os.chdir(download)
        try:
            run("apt-get", "download", "-q", "systemd-container")
        finally:
            os.chdir(before)
        (package,) = download.iterdir()
        run("dpkg-deb", "-x", str(package), str(folder / "package"))
    return Path(found) if found else unpacked


def newest(*folders: Path) -> float:
    """Return the time of the latest change in these folders."""
    return max(each.stat().st_mtime for folder in folders for each in [folder, *folder.rglob("*.py")])


def environment(folder: Path) -> Path:
    """Install the daemon into a virtual environment of the system's Python, again after a change."""
    made, stamp = folder / "environment", folder / "environment.stamp"
    if stamp.exists() and stamp.stat().st_mtime > newest(ROOT / "echotime", ROOT / "twisted", ROOT / "setup.cfg"):
        return made
    os.umask(0o022)
    if not (made / "bin" / "python").exists():
        run("/usr/bin/python3", "-m", "venv", "--without-pip", str(made))
    pip = (sys.executable, "-m", "pip", "--python", str(made / "bin" / "python"), "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--upgrade", "--force-reinstall", "--no-deps", str(ROOT))
    run(*pip, "install", "--quiet", str(ROOT))
    for script in (made / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            text = script.read_text(encoding="utf-8")
            script.write_text(text.replace(str(made), INSIDE), encoding="utf-8")
    # an installation has the plugin cache; one test removes it
    plugins = "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"
    run(str(made / "bin" / "python"), "-c", plugins)
    stamp.touch()
    return made


def units(folder: Path, tests: list[str]) -> Path:
    """Write the files for /etc/systemd/system: our units with the environment's path, and the tests' unit."""
    made = folder / "units"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    for each in (ROOT / "etc").iterdir():
        if each.suffix in UNIT_SUFFIXES:
            text = each.read_text(encoding="utf-8").replace(INSTALLED, INSIDE)
            (made / each.name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "etc" / "echotime.conf", made)
    shutil.copy(ROOT / "tests" / "integration" / "hung.tac", made)
    (made / "check.service").write_text(_CHECK % " ".join(tests), encoding="utf-8")
    (made / "systemd-firstboot.service").symlink_to("/dev/null")
    return made


@contextmanager
def cgroup(name: str) -> Iterator[Path]:
    """Make a cgroup v2 for the container, and remove it with everything below it."""
    there = [Path(each) for each in _CGROUPS]
    made = [each / name for each in there if (each / "cgroup.controllers").exists()]
    if not made:
        raise Impossible("there is no cgroup hierarchy of version 2")
    try:
        made[0].mkdir()
    except OSError as error:
        raise Impossible(f"{made[0]}: {error.strerror}") from None
    try:
        yield made[0]
    finally:
        for each in (made[0], there[-1] / name):
            for below in sorted(each.rglob("*"), key=lambda path: -len(path.parts)):
                if below.is_dir():
                    below.rmdir()
            if each.is_dir():
                each.rmdir()


def boot(folder: Path, tests: list[str]) -> int:
    """Boot the container, print the report of the tests and return their status."""
    check()
    return booted(folder, units(folder, tests), f"--bind-ro={environment(folder)}:{INSIDE}")


def check() -> None:
    """Raise Impossible if a container obviously cannot run here."""
    if os.geteuid() != 0:
        raise Impossible("a container takes root")
    if not Path("/usr/lib/systemd/systemd").exists() and not Path("/lib/systemd/systemd").exists():
        raise Impossible("systemd is not installed")


def booted(folder: Path, made: Path, *more: str) -> int:
    """Return the exit status of check.service, one of the units in `made`; `more` are options of systemd-nspawn."""
    program, out = nspawn(folder), folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    preset = folder / "preset"
    preset.mkdir(exist_ok=True)
    (preset / "00-none.preset").write_text("disable *\n", encoding="ascii")
    name = f"echotime-{os.getpid()}"
    command = [
        *(str(program), "--quiet", "--boot", "--directory=/", "--volatile=yes", f"--machine={name}"),
        *("--private-network", "--register=no", "--keep-unit", "--link-journal=no", "--console=pipe"),
        # bpf for a unit's firewall (IPAddressDeny=), which has no effect otherwise; the others for the tests
        "--system-call-filter=bpf pidfd_getfd adjtimex clock_adjtime",
        *(f"--bind-ro={ROOT}:/run/tests", f"--bind={out}:/run/out", f"--bind={made}:/etc/systemd/system"),
        *more,
        f"--bind-ro={preset}:/etc/systemd/system-preset",
        "systemd.unit=check.service",
    ]
    with cgroup(name) as group, (out / "console").open("wb") as console:
        # a new session, so that signals to its process group do not reach ours
        child = subprocess.Popen(
            ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(group), *command],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            start_new_session=True,
        )
        try:
            status = child.wait(LIMIT + 30)
        except subprocess.TimeoutExpired:
            status = 1
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            shutil.rmtree(f"/run/systemd/nspawn/propagate/{name}", ignore_errors=True)
    log = out / "log"
    if not log.exists():
        text = (out / "console").read_text(encoding="utf-8", errors="replace").strip()
        raise Impossible(f"it did not boot: {text[-500:]}")
    print(log.read_text(encoding="utf-8", errors="replace"), end="")
    return status


def main() -> int:
    """Return the exit status of the tests, or 0 if they cannot run here."""
    folder, *tests = sys.argv[1:]
    where = Path(folder).absolute()
    where.mkdir(parents=True, exist_ok=True)
    try:
        return boot(where, tests or [_TESTS])
    except Impossible as why:
        print(f"tests/systemd are skipped, as no systemd can be booted here: {why}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
