"""Start, change and query units in the container; after each test they are stopped and restored."""

from __future__ import annotations

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

from tests.support.pidfd_getfd import duplicate_socket

LIMIT = 90.0
ADDRESS = ("127.0.0.1", 12345)
SERVICE, SOCKET, DIRECT = "echotime.service", "echotime.socket", "echotime-direct.service"
UNITS = Path("/etc/systemd/system")
CONFIG = Path("/etc/echotime/echotime.conf")
PROGRAMS = Path("/srv/bin")


def systemctl(*arguments: str) -> str:
    """Run systemctl, check that it succeeds, and return its output."""
    ended = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=2 * LIMIT, check=False)
    assert ended.returncode == 0, f"systemctl {arguments}: {ended.stderr}"
    return ended.stdout


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition returns a true value, and return that value."""
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} within {LIMIT} s"
        time.sleep(0.02)  # polled: systemctl has no events
    return found


class UnitTestCase(SynchronousTestCase):
    """Run units inside the container only."""

    timeout = 300

    def setUp(self) -> None:
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
        """Add lines to a unit's [Service], or to the section that the first line names."""
        folder = UNITS / f"{unit}.d"
        folder.mkdir(exist_ok=True)
        self._changed.add(folder)
        section = () if lines[0].startswith("[") else ("[Service]",)
        (folder / f"{len(list(folder.iterdir()))}.conf").write_text("\n".join([*section, *lines, ""]), encoding="utf-8")
        systemctl("daemon-reload")

    def options(self, text: str, unit: str = "echotime") -> None:
        """Write the options of a unit to its file in /etc/default."""
        path = Path(f"/etc/default/{unit}")
        path.parent.mkdir(exist_ok=True)
        self._changed.add(path)
        path.write_text(f'ECHOTIME_OPTIONS="{text}"\n', encoding="utf-8")

    def hung(self, unit: str, transport: str, options: str = "--log-message-rate=100") -> None:
        """Let the unit run a daemon that SIGUSR2 makes hang."""
        self.change(
            unit,
            "ExecStart=",
            f"ExecStart={PROGRAMS}/twistd --nodaemon --pidfile= -y {UNITS}/hung.tac",
            f"Environment=ECHOTIME_HUNG={transport} 'ECHOTIME_OPTIONS={options}'",
        )

    def start(self, unit: str = SERVICE) -> int:
        """Start a unit, which must become ready, and return its process."""
        systemctl("start", unit)
        self._invocations[unit] = self.show(unit, "InvocationID")
        return self.process(unit)

    def fails(self, unit: str) -> str:
        """Start a unit, which must fail, and return systemd's name of the result."""
        ended = subprocess.run(["systemctl", "start", unit], capture_output=True, timeout=2 * LIMIT, check=False)
        self.assertNotEqual(ended.returncode, 0)
        return self.show(unit, "Result")

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return systemctl("show", "--value", "-p", name, unit).strip()

    def process(self, unit: str = SERVICE) -> int:
        """Return the main process of a unit, which must have one."""
        found = int(self.show(unit, "MainPID"))
        self.assertGreater(found, 1)
        return found

    def restarted(self, before: int, unit: str = SERVICE) -> int:
        """Wait until a unit is active with another process, and return that process."""

        def another() -> int:
            found = int(self.show(unit, "MainPID"))
            return found if found not in {0, before} and self.show(unit, "ActiveState") == "active" else 0

        return int(wait_for(another, f"{unit} restarts"))

    def entries(self, unit: str, *more: str) -> list[dict[str, Any]]:
        """Return the journal entries of a unit's last run."""
        subprocess.run(["journalctl", "--sync"], check=True, timeout=LIMIT)
        # systemd forgets the invocation ID of a stopped unit
        invocation = self.show(unit, "InvocationID") or self._invocations[unit]
        command = ["journalctl", "-o", "json", "--no-pager", f"_SYSTEMD_INVOCATION_ID={invocation}", *more]
        out = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True).stdout
        return [json.loads(line) for line in out.splitlines()]

    def line(self, unit: str, pattern: str) -> dict[str, Any]:
        """Wait for a journal entry whose message matches, and return the first."""

        def found() -> dict[str, Any] | None:
            return next((each for each in self.entries(unit) if re.search(pattern, str(each["MESSAGE"]))), None)

        entry: dict[str, Any] = wait_for(found, f"{pattern!r} in the journal")
        return entry

    def control(self, *arguments: str, path: str = "/run/echotime/control") -> str:
        """Run `echotime control` as root and return its output."""
        command = [str(PROGRAMS / "echotime"), "control", "--socket", path, *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        return ended.stdout

    def answered(self, path: str = "/run/echotime/control") -> bool:
        """Return True if both listeners answer the daemon's own probes."""
        return self.control("status", path=path).count(", probe answered in ") == 2

    def held(self, process: int, kind: socket.SocketKind, port: int) -> socket.socket:
        """Return a duplicate of a process's socket on a port, as a process that inherited it would hold it."""
        sock = duplicate_socket(process, kind, port)
        self.addCleanup(sock.close)
        return sock


def shut_down(sock: socket.socket) -> None:
    """Shut a socket down for all its holders, and close this descriptor."""
    with sock, suppress(OSError):  # UDP reports ENOTCONN, and is shut down all the same
        sock.shutdown(socket.SHUT_RDWR)
