"""A daemon with a control socket, and operators at it."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.plain_clients import connect
from tests.support.tool_case import ToolTestCase
from tests.support.twistd_process import LIMIT, Twistd

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


class ControlTestCase(ToolTestCase):
    """A daemon with a control socket, and operators."""

    def setUp(self) -> None:
        """A place for the socket."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.path = self.directory / "control"

    def controlled(self, *args: str) -> Twistd:
        """A daemon that lets questions wait; `address` is where it listens."""
        daemon = self.echotime("--control", str(self.path), *args)
        daemon.line("listening on control socket ")
        self.address = daemon.address("TCP")
        return daemon

    def control(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """`echotime control WORDS`."""
        return self.tool("control", "--socket", str(self.path), *words)

    def told(self, *words: str) -> str:
        """What it says; it must work out."""
        ended = self.control(*words)
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))
        return ended.stdout.decode()

    def rows(self, *words: str) -> Any:
        """The same from --json."""
        return json.loads(self.told("--json", *words))

    def asks(self, message: bytes) -> socket.socket:
        """A client whose message waits at the desk."""
        before = len(self.rows("questions"))
        sock = connect(self.address)
        self.addCleanup(sock.close)
        sock.sendall(message)
        self.wait_for(lambda: len(self.rows("questions")) == before + 1)
        return sock

    def wait_for(self, condition: Any) -> None:
        """Until it is true; each look takes its time."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            self.assertLess(time.monotonic(), deadline)

    def plain(self) -> socket.socket:
        """The socket itself."""
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.settimeout(LIMIT)
        sock.connect(str(self.path))
        return sock


def amp_box(**values: bytes) -> bytes:
    """A box of AMP: lengths and keys and values."""
    parts = [part for key, value in values.items() for part in (key.encode(), value)]
    return b"".join(struct.pack("!H", len(part)) + part for part in parts) + b"\0\0"
