"""Listen on a Unix socket as a control socket would, and send what a test says."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.control_case import amp_box
from tests.support.twistd_process import LIMIT

HELLO = {"version": b"1", "encoding": b"utf-8", "name": b"root (pid 1)"}
"""Values of a valid response to Hello."""

Box = dict[bytes, bytes]
Respond = Callable[[bytes, Box], bytes]
"""Returns the bytes to send for a command, from its name and its box."""


def answer(box: Box, **values: bytes) -> bytes:
    """Return the box that answers a command."""
    return amp_box(_answer=box[b"_ask"], **values)


def push(command: bytes, **values: bytes) -> bytes:
    """Return the box of an event."""
    return amp_box(_command=command, **values)


def _read_boxes(stream: socket.SocketIO) -> Iterator[Box]:
    """Yield the boxes that the tool sends."""
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


class FarEnd:
    """Serve one connection on `path` with `respond`, in a thread, until `close` is called."""

    def __init__(self, path: Path, respond: Respond) -> None:
        self._respond = respond
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rb", buffering=0) as stream:
                for box in _read_boxes(stream):
                    connection.sendall(self._respond(box[b"_command"], box))

    def close(self) -> None:
        """Stop listening, and wait until the connection has ended."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes a blocked accept
        self._thread.join(LIMIT)
        self._listener.close()
