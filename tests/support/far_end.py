"""Listen on a Unix socket as a control socket would, and send what a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from tests.support.control_case import Box, amp_box, read_boxes
from tests.support.twistd_process import LIMIT

HELLO = {"version": b"1", "encoding": b"utf-8", "name": b"root (pid 1)"}
"""Values of a valid response to Hello."""

Respond = Callable[[bytes, Box], bytes]
"""Returns the bytes to send for a command, from its name and its box."""


def answer(box: Box, **values: bytes) -> bytes:
    """Return the box that answers a command."""
    return amp_box(_answer=box[b"_ask"], **values)


def push(command: bytes, **values: bytes) -> bytes:
    """Return the box of an event."""
    return amp_box(_command=command, **values)


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
                for box in read_boxes(stream):
                    connection.sendall(self._respond(box[b"_command"], box))

    def close(self) -> None:
        """Stop listening, and wait until the connection has ended."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes a blocked accept
        self._thread.join(LIMIT)
        self._listener.close()
