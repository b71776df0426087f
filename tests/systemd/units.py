"""Units that a test starts, changes and asks about, in the container; after it each is stopped and as it was."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

LIMIT = 20.0
ADDRESS = ("127.0.0.1", 12345)
SERVICE, SOCKET, DIRECT = "echotime.service", "echotime.socket", "echotime-direct.service"
UNITS = Path("/etc/systemd/system")
CONFIG = Path("/etc/echotime/echotime.conf")
PROGRAMS = Path("/srv/bin")
_PIDFD_GETFD = 438
"""The number of the call on every architecture."""


def systemctl(*words: str) -> str:
    """What it says; it must work out."""
    ended = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=2 * LIMIT, check=False)
    assert ended.returncode == 0, f"systemctl {words}: {ended.stderr}"
    return ended.stdout


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What it gives, once that is something."""
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} within {LIMIT} s"
        time.sleep(0.02)  # systemd is asked, which tells nobody by itself
    return found


class UnitTestCase(SynchronousTestCase):
    """Only inside the container."""

    timeout = 120

    def setUp(self) -> None:
        """Nothing of ours runs."""
        if "ECHOTIME_CONTAINER" not in os.environ:
            raise SkipTest("runs in the container that `make test-systemd` boots")
        CONFIG.parent.mkdir(exist_ok=True)
        shutil.copy(UNITS / CONFIG.name, CONFIG)
        self._changed: set[Path] = set()
        self._invocations: dict[str, str] = {}
        self.addCleanup(self._restore)

    def _restore(self) -> None:
        subprocess.run(["systemctl", "stop", "echotime*"], check=True, timeout=2 * LIMIT)
        for each in self._changed:
            shutil.rmtree(each) if each.is_dir() else each.unlink(missing_ok=True)
        systemctl("daemon-reload")
        subprocess.run(["systemctl", "reset-failed"], check=True, timeout=LIMIT)

    def change(self, unit: str, *lines: str) -> None:
        """Lines of its [Service], or of the section that the first of them names."""
        folder = UNITS / f"{unit}.d"
        folder.mkdir(exist_ok=True)
        self._changed.add(folder)
        section = () if lines[0].startswith("[") else ("[Service]",)
        (folder / f"{len(list(folder.iterdir()))}.conf").write_text("\n".join([*section, *lines, ""]), encoding="utf-8")
        systemctl("daemon-reload")

    def options(self, text: str, unit: str = "echotime") -> None:
        """What its file of defaults says."""
        path = Path(f"/etc/default/{unit}")
        path.parent.mkdir(exist_ok=True)
        self._changed.add(path)
        path.write_text(f'ECHOTIME_OPTIONS="{text}"\n', encoding="utf-8")

    def hung(self, unit: str, transport: str, options: str = "--log-message-rate=100") -> None:
        """A daemon that SIGUSR2 makes hung."""
        self.change(
            unit,
            "ExecStart=",
            f"ExecStart={PROGRAMS}/twistd --nodaemon --pidfile= -y {UNITS}/hung.tac",
            f"Environment=ECHOTIME_HUNG={transport} 'ECHOTIME_OPTIONS={options}'",
        )

    def start(self, unit: str = SERVICE) -> int:
        """It must be ready; its process."""
        systemctl("start", unit)
        self._invocations[unit] = self.show(unit, "InvocationID")
        return self.process(unit)

    def fails(self, unit: str) -> str:
        """It must not start; why, in systemd's words."""
        ended = subprocess.run(["systemctl", "start", unit], capture_output=True, timeout=2 * LIMIT, check=False)
        self.assertNotEqual(ended.returncode, 0)
        return self.show(unit, "Result")

    def show(self, unit: str, name: str) -> str:
        """A property."""
        return systemctl("show", "--value", "-p", name, unit).strip()

    def process(self, unit: str = SERVICE) -> int:
        """Its main process, which there is."""
        found = int(self.show(unit, "MainPID"))
        self.assertGreater(found, 1)
        return found

    def restarted(self, before: int, unit: str = SERVICE) -> int:
        """Its process, once that is another one and ready."""

        def another() -> int:
            found = int(self.show(unit, "MainPID"))
            return found if found not in {0, before} and self.show(unit, "ActiveState") == "active" else 0

        return int(wait_for(another, f"{unit} restarts"))

    def entries(self, unit: str, *more: str) -> list[dict[str, Any]]:
        """What its last run has in the journal, of the daemon's own."""
        subprocess.run(["journalctl", "--sync"], check=True, timeout=LIMIT)
        # systemd forgets what has stopped
        invocation = self.show(unit, "InvocationID") or self._invocations[unit]
        command = ["journalctl", "-o", "json", "--no-pager", f"_SYSTEMD_INVOCATION_ID={invocation}", *more]
        out = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True).stdout
        return [json.loads(line) for line in out.splitlines()]

    def line(self, unit: str, pattern: str) -> dict[str, Any]:
        """The first entry with a message like that; waits for it to come."""

        def found() -> dict[str, Any] | None:
            return next((each for each in self.entries(unit) if re.search(pattern, str(each["MESSAGE"]))), None)

        entry: dict[str, Any] = wait_for(found, f"{pattern!r} in the journal")
        return entry

    def control(self, *words: str, path: str = "/run/echotime/control") -> str:
        """`echotime control`, as root."""
        command = [str(PROGRAMS / "echotime"), "control", "--socket", path, *words]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        return ended.stdout

    def answered(self, path: str = "/run/echotime/control") -> bool:
        """Whether both listeners answer the daemon's own question."""
        return self.control("status", path=path).count(", probe answered in ") == 2

    def held(self, process: int, kind: socket.SocketKind, port: int) -> socket.socket:
        """A duplicate of a process' socket on a port, as another that holds it would have."""
        libc = ctypes.CDLL(None, use_errno=True)
        pidfd = os.pidfd_open(process)
        try:
            for each in Path(f"/proc/{process}/fd").iterdir():
                number = libc.syscall(_PIDFD_GETFD, pidfd, int(each.name), 0)
                if number < 0:
                    raise OSError(ctypes.get_errno(), f"pidfd_getfd: {os.strerror(ctypes.get_errno())}")
                try:
                    sock = socket.socket(fileno=number)
                except OSError:
                    os.close(number)
                    continue
                if sock.type == kind and sock.family != socket.AF_UNIX and sock.getsockname()[1] == port:
                    self.addCleanup(sock.close)
                    return sock
                sock.close()
        finally:
            os.close(pidfd)
        raise AssertionError(f"no such socket in process {process}")


def shut_down(sock: socket.socket) -> None:
    """For everybody who holds it; ours is closed."""
    with sock, suppress(OSError):  # UDP says that it is not connected, and does it
        sock.shutdown(socket.SHUT_RDWR)
