"""Provide a test case with a daemon that has a control socket, and clients of that socket."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.protocols.amp import Command

from echotime.control.commands import Questions
from tests.support.plain_clients import connect
from tests.support.tool_case import ToolTestCase
from tests.support.twistd_process import LIMIT, Twistd

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""The capability to read this project's files wherever they are."""


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
        before = len(self.ask(Questions, after=b"0")["rows"])
        sock = connect(self.address)
        self.addCleanup(sock.close)
        sock.sendall(message)
        self.wait_for(lambda: len(self.ask(Questions, after=b"0")["rows"]) == before + 1)
        return sock

    def ask(self, command: type[Command], **arguments: bytes) -> dict[str, Any]:
        """Return the response to a command; a tool would take a hundred times as long to start."""
        with self.control_socket() as sock, sock.makefile("rb", buffering=0) as stream:
            sock.sendall(amp_box(_command=command.commandName, _ask=b"1", **arguments))
            response: dict[str, Any] = command.parseResponse(next(read_boxes(stream)), None)
            return response

    def wait_for(self, condition: Any) -> None:
        """Wait until a condition holds, up to the time limit."""
        deadline = time.monotonic() + LIMIT
        pause = threading.Event()
        while not condition():
            self.assertLess(time.monotonic(), deadline)
            pause.wait(0.01)

    def control_socket(self) -> socket.socket:
        """Return a socket that is connected to the control socket."""
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.settimeout(LIMIT)
        sock.connect(str(self.path))
        return sock


Box = dict[bytes, bytes]


def read_boxes(stream: socket.SocketIO) -> Iterator[Box]:
    """Yield the AMP boxes that arrive."""
    box: Box = {}
    key = b""
    while len(head := stream.read(2) or b"") == 2:
        (length,) = struct.unpack("!H", head)
        value = b""
        while len(value) < length:
            value += stream.read(length - len(value)) or b""
        if key:
            box[key], key = value, b""
        elif value:
            key = value
        else:
            yield box
            box = {}


def amp_box(**values: bytes) -> bytes:
    """Encode an AMP box: lengths, keys and values."""
    parts = [part for key, value in values.items() for part in (key.encode(), value)]
    return b"".join(struct.pack("!H", len(part)) + part for part in parts) + b"\0\0"
