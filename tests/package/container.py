"""Build the Debian package and a newer one, boot systemd in a container, and run the tests there.

``python -m tests.package.container FOLDER``: the folder keeps the files made for it. The container is that of
tests/systemd, but its /usr is writable, on an overlay in memory, and it has a copy of the machine's dpkg database.
Where no container can run, the reason is printed and the exit status is 0.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.systemd.container import ROOT, Impossible, booted, check, run

_LIMIT = 600
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
Environment=PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 ECHOTIME_PACKAGES=/run/packages
ExecStartPre=/bin/mkdir /run/writable
ExecStartPre=/bin/mount -t tmpfs tmpfs /run/writable
ExecStartPre=/bin/mkdir /run/writable/usr /run/writable/work
ExecStartPre=/bin/mount -t overlay overlay -o lowerdir=/usr,upperdir=/run/writable/usr,workdir=/run/writable/work /usr
ExecStartPre=/bin/cp -a /run/packages/dpkg /var/lib/
# the container's other preset enables nothing, so that the machine's own units are off
ExecStartPre=/bin/mkdir /run/systemd/system-preset
ExecStartPre=/bin/sh -c 'echo "enable echotime.*" >/run/systemd/system-preset/00-echotime.preset'
# that of a container in which this may run, where nothing is to be started
ExecStartPre=/bin/rm -f /usr/sbin/policy-rc.d
ExecStart=/usr/bin/python3 -m unittest -v tests.package.life_cycle tests.package.installed
StandardOutput=append:/run/out/log
StandardError=inherit
RuntimeMaxSec={_LIMIT}
"""
NEWER = "99.0"


def packages(folder: Path) -> Path:
    """Build the package, a newer one with another /etc/default/echotime, and a staged `make install`."""
    made = folder / "packages"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    # a failed build is an error, never a reason to skip
    places = (f"DESTDIR={made}/staged", "PREFIX=/usr/local", "SYSCONFDIR=/etc")
    subprocess.run(["make", "-s", "-C", str(ROOT), "install", *places], check=True)
    subprocess.run([str(ROOT / "etc" / "debian" / "build"), str(made)], check=True)
    (built,) = made.glob("*.deb")
    version = built.name.split("_")[1].removesuffix("-1")
    tree = made / "tree"
    run("dpkg-deb", "-R", str(built), str(tree))
    home = tree / "usr/lib/echotime"
    (home / version).rename(home / NEWER)
    (home / "bin").unlink()
    (home / "bin").symlink_to(f"{NEWER}/bin")
    paths = [*(tree / "DEBIAN").iterdir(), *(home / NEWER / "bin").iterdir(), tree / "etc/default/echotime"]
    for each in paths:
        if not each.is_symlink():
            text = each.read_text(encoding="utf-8").replace(f"echotime/{version}/", f"echotime/{NEWER}/")
            text = text.replace(f"echotime/{version}\n", f"echotime/{NEWER}\n").replace(
                f"Version: {version}", f"Version: {NEWER}"
            )
            each.write_text(text.replace("Put further options", "Put any further options"), encoding="utf-8")
    run("dpkg-deb", "-Znone", "--build", str(tree), str(made / "newer.deb"))
    shutil.rmtree(tree)
    built.rename(made / "built.deb")
    # users and groups that overrides name are not in the container
    left_out = shutil.ignore_patterns("statoverride*", "*-old", "lock*")
    shutil.copytree("/var/lib/dpkg", made / "dpkg", symlinks=True, ignore=left_out)
    return made


def units(folder: Path) -> Path:
    """Write the files for /etc/systemd/system, where the package installs nothing."""
    made = folder / "units"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    (made / "check.service").write_text(_CHECK, encoding="utf-8")
    (made / "systemd-firstboot.service").symlink_to("/dev/null")
    return made


def main() -> int:
    """Return the exit status of the tests, or 0 if they cannot run here."""
    folder = Path(sys.argv[1]).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        check()
        if shutil.which("dpkg-deb") is None:
            raise Impossible("dpkg-deb is not installed")
        return booted(folder, units(folder), f"--bind-ro={packages(folder)}:/run/packages")
    except Impossible as why:
        print(f"tests/package are skipped: {why}")
        return 0
    except subprocess.CalledProcessError as failed:
        print(f"cannot build the package: {failed}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
