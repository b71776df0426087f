"""Provide a test case with a daemon that has a control socket, and clients of that socket."""

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
    """Run a daemon with a control socket, and `echotime control` against it."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.path = self.directory / "control"

    def start_daemon(self, *args: str) -> Twistd:
        """Start a daemon with a control socket, and set `address` to its TCP address."""
        daemon = self.echotime("--control", str(self.path), *args)
        daemon.line("listening on control socket ")
        self.address = daemon.address("TCP")
        return daemon

    def control(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run `echotime control` with these arguments."""
        return self.tool("control", "--socket", str(self.path), *arguments)

    def output(self, *arguments: str) -> str:
        """Return the output of `echotime control`, which must succeed."""
        ended = self.control(*arguments)
        self.assertEqual((ended.returncode, ended.stderr), (0, b""))
        return ended.stdout.decode()

    def rows(self, *arguments: str) -> Any:
        """Return the decoded JSON that `echotime control --json` prints."""
        return json.loads(self.output("--json", *arguments))

    def pending_client(self, message: bytes) -> socket.socket:
        """Connect a client and send a message, and wait until its question is pending."""
        before = len(self.rows("questions"))
        sock = connect(self.address)
        self.addCleanup(sock.close)
        sock.sendall(message)
        self.wait_for(lambda: len(self.rows("questions")) == before + 1)
        return sock

    def wait_for(self, condition: Any) -> None:
        """Wait until a condition holds, up to the time limit."""
        deadline = time.monotonic() + LIMIT
        while not condition():
            self.assertLess(time.monotonic(), deadline)

    def control_socket(self) -> socket.socket:
        """Return a socket that is connected to the control socket."""
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.settimeout(LIMIT)
        sock.connect(str(self.path))
        return sock


def amp_box(**values: bytes) -> bytes:
    """Encode an AMP box: lengths, keys and values."""
    parts = [part for key, value in values.items() for part in (key.encode(), value)]
    return b"".join(struct.pack("!H", len(part)) + part for part in parts) + b"\0\0"
