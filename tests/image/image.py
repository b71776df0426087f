"""Build the image on a Debian made here, and run it with podman. Both keep everything in a folder of their own."""

from __future__ import annotations

import atexit
import functools
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.twistd_process import DaemonTestCase, Twistd

ROOT = Path(__file__).parents[2]
FOLDER = Path(sys.prefix) / "image"
"""The base and the storage of images, which later runs use again."""
NAME, BASE = "localhost/echotime", "localhost/debian"
PROGRAMS = ("buildah", "podman", "mmdebstrap")
HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges")
"""Options of podman that the image must work with."""
_INSTALL = "apt install buildah podman runc catatonit mmdebstrap"
# without systemd and its journal, and with limits that root has in a container, too
_CONTAINERS = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4000:4000"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
tmp_dir = "{folder}/tmp"
[network]
network_config_dir = "{folder}/networks"
"""
_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""
_ENVIRONMENT = {
    "CONTAINERS_CONF": str(FOLDER / "containers.conf"),
    "CONTAINERS_STORAGE_CONF": str(FOLDER / "storage.conf"),
    # a build in a container, too
    "BUILDAH_ISOLATION": "chroot",
    # later runs do not install the packages again
    "BUILDAH_LAYERS": "true",
}
_LIMIT = 300
"""Seconds after which a command is ended."""
_TRIES = 3
"""How often a build is tried, because packages come from a network."""
# mirrors that stall; the base keeps this setting for the build
_APT = ("--aptopt=Acquire::http::Timeout 20", "--aptopt=Acquire::Retries 4")
# every certificate that this machine trusts, because a proxy of its network may have an authority of its own
_TRUST = """\
bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} folder=$1/usr/local/share/ca-certificates
mkdir -p $folder
! [ -e $bundle ] || csplit -s -z -f $folder/ -b %d.crt $bundle '/-BEGIN CERTIFICATE-/' '{*}'
"""
_numbers = itertools.count()


def run(*command: str) -> str:
    """Run a command that must succeed, and return its standard output."""
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    # it ends the children of the command, too
    limited = ("timeout", "--kill-after=5", str(_LIMIT), *command)
    ended = subprocess.run(
        limited,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**environment, **_ENVIRONMENT},
    )
    assert ended.returncode == 0, f"{command}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"
    return ended.stdout


def built() -> dict[str, Any]:
    """Return the configuration of the image, which the first test builds. Raises the same error in every test."""
    outcome = _first_outcome()
    if isinstance(outcome, AssertionError):
        raise outcome
    return outcome


@functools.cache
def _first_outcome() -> dict[str, Any] | AssertionError:
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "containers.conf").write_text(_CONTAINERS.format(folder=FOLDER), encoding="utf-8")
    (FOLDER / "storage.conf").write_text(_STORAGE.format(folder=FOLDER), encoding="utf-8")
    atexit.register(run, "podman", "rm", "--force", "--all", "--time", "0")
    for _ in range(_TRIES):
        try:
            return _build()
        except AssertionError as error:
            last = error
            print(error, flush=True)
    return last


def _build() -> dict[str, Any]:
    """Build the base, unless there is one, and the image."""
    if BASE not in run("podman", "images", "--format", "{{.Repository}}"):
        tree = FOLDER / "base.tar"
        run("mmdebstrap", "--quiet", "--variant=minbase", *_APT, f"--customize-hook={_TRUST}", _release(), str(tree))
        run("podman", "import", "--quiet", str(tree), BASE)
        tree.unlink()
    run("make", "-C", str(ROOT), "image", "ENGINE=buildah", f"IMAGE={NAME}", f"BASE={BASE}")
    (found,) = json.loads(run("podman", "image", "inspect", NAME))
    return dict(found)


def _release() -> str:
    """Return the release of Debian that the Containerfile names."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    return text.partition("=debian:")[2].partition("-slim")[0]


class Container(Twistd):
    """Run one container with `podman run`, which passes signals on, and whose exit status is that of process 1."""

    program = ()

    def __init__(self, *args: str, options: tuple[str, ...]) -> None:
        """Run the image with arguments of the daemon, and `options` of podman."""
        self.name = f"echotime-{os.getpid()}-{next(_numbers)}"
        podman = ("podman", "run", "--rm", f"--name={self.name}", *options, NAME)
        super().__init__(*args, prefix=("env", *(f"{name}={value}" for name, value in _ENVIRONMENT.items()), *podman))

    def execute(self, *command: str) -> str:
        """Run a command in the container, which must succeed, and return its output."""
        return run("podman", "exec", self.name, *command)

    def inspect(self, template: str) -> str:
        """Return what a template of podman gives for the container."""
        return run("podman", "inspect", "--format", template, self.name).strip()


class ImageTestCase(DaemonTestCase):
    """Skip tests where no image can be built, or fail if one must be."""

    def setUp(self) -> None:
        missing = [each for each in PROGRAMS if shutil.which(each) is None]
        reason = f"not installed: {', '.join(missing)} ({_INSTALL})" if missing else ""
        if os.geteuid() != 0:
            reason = "an image is built and run as root here"
        if reason and "ECHOTIME_ALL_IMAGE" in os.environ:
            self.fail(reason)
        if reason:
            self.skipTest(reason)
        self.image = built()

    def container(self, *args: str, options: tuple[str, ...] = ()) -> Container:
        """Run a hardened container with further options of podman; it ends with the test."""
        child = Container(*args, options=(*HARDENED, *options))
        self.addCleanup(child.kill)
        self.addCleanup(run, "podman", "rm", "--force", "--ignore", "--time", "0", child.name)
        return child

    def ends(self, child: Twistd, status: int = 0) -> str:
        """Stop a container, check its exit status, and return its log."""
        ended = child.stop()
        self.assertEqual(ended.status, status, ended.out + ended.err)
        self.assertNotIn("Traceback", ended.out + ended.err)
        return ended.out
