"""Run a child process on a pseudoterminal: type input, and wait for output."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

from tests.support.twistd_process import LIMIT


class OnTerminal:
    """Run a command on a new controlling terminal, where Ctrl-C is a signal."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None, columns: int = 0) -> None:
        """Start the command. Without `columns` the terminal has no size."""
        self._terminal, other_side = pty.openpty()
        # termios.tcsetwinsize is missing in Python 3.10
        fcntl.ioctl(other_side, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
        self.modes = termios.tcgetattr(other_side)
        self._other_side = other_side
        # setsid makes it the controlling terminal
        self.child = subprocess.Popen(
            ["setsid", "-c", *command], stdin=other_side, stdout=other_side, stderr=other_side, env=environment
        )
        self.shown = b""

    def until(self, pattern: str) -> re.Match[str]:
        """Wait until the child shows a pattern after the previous match."""
        deadline = time.monotonic() + LIMIT
        while True:
            text = self.shown.decode("utf-8", "backslashreplace")
            if found := re.search(pattern, text[getattr(self, "_seen", 0) :]):
                self._seen = getattr(self, "_seen", 0) + found.end()
                return found
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._terminal], [], [], left)[0] or not self._read():
                raise AssertionError(f"no {pattern!r} in:\n{text}")

    def _read(self) -> bool:
        try:
            part = os.read(self._terminal, 65536)
        except OSError:  # EIO: the other side is closed
            part = b""
        self.shown += part
        return bool(part)

    def type(self, typed: bytes) -> None:
        """Type bytes on the terminal; a line feed ends a line."""
        os.write(self._terminal, typed)

    def interrupt(self) -> None:
        """Type Ctrl-C once the child waits for input.

        A signal that comes just before its select(2) is noticed only at the next key.
        """
        deadline = time.monotonic() + LIMIT
        while not self._is_asleep():
            if time.monotonic() > deadline:
                raise AssertionError("the child never waits")
            if select.select([self._terminal], [], [], 0.02)[0]:
                self._read()
        self.type(b"\x03")

    def _is_asleep(self) -> bool:
        status = Path("/proc", str(self.child.pid), "stat").read_text(encoding="utf-8", errors="replace")
        return status.rpartition(")")[2].split()[0] == "S"

    def end(self) -> int:
        """Wait until the child ends by itself, reading its output, and return its exit status."""
        deadline = time.monotonic() + LIMIT
        while self.child.poll() is None and time.monotonic() < deadline:
            if select.select([self._terminal], [], [], 0.05)[0]:
                self._read()
        while select.select([self._terminal], [], [], 0)[0] and self._read():
            pass
        return self.child.wait(LIMIT)

    def hang_up(self) -> None:
        """Hang up, as a terminal window that is closed."""
        os.close(self._terminal)
        self._terminal = os.open(os.devnull, os.O_RDONLY)

    def modes_now(self) -> list[object]:
        """Return the current modes of the terminal."""
        return list(termios.tcgetattr(self._other_side))

    def close(self) -> None:
        """Kill the child if it still runs, and close the terminal."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait(LIMIT)
        for descriptor in (self._terminal, self._other_side):
            os.close(descriptor)
