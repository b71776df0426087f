"""Demonstrate what close does: SO_LINGER."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, attempt, expect, tcp_state
from echotime.i18n.language import gettext as _
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.values import N_

_CHUNK = bytes(65536)
_PATIENCE = 10.0
"""Seconds for which the client waits for the next data."""


def linger() -> Iterator[Entry]:
    """Show close without SO_LINGER, the reset of {1, 0}, and the wait of {1, 1} while data is unacknowledged."""
    for onoff, expected, remark, state in (
        (0, "b''", N_("end of file"), "CLOSE_WAIT"),
        (1, "ECONNRESET", N_("and the server's side leaves nothing in TIME_WAIT"), "CLOSE"),
    ):
        yield Section(f"SO_LINGER {{{onoff}, 0}}")
        with Scratch() as scratch:
            client, connection = scratch.connection_pair()
            connection.recv(1)
            _set_linger(connection, onoff, 0)
            connection.send(b"goodbye")
            yield attempt(SERVER, connection.close, text=N_("send(b'goodbye'), then close"), expected="ok")
            arrived = N_("data that has arrived can be read")
            yield attempt(CLIENT, client.recv, 100, remark=arrived, expected="b'goodbye'")
            yield attempt(CLIENT, client.recv, 100, remark=remark, expected=expected)
            yield tcp_state(CLIENT, client, state)
    for onoff, seconds, remark in (
        (0, 0, N_("close returns at once, and the kernel sends the rest")),
        (1, 1, N_("close blocks until the data is acknowledged, at most for this time")),
    ):
        title = _("SO_LINGER {{{onoff}, {seconds}}}: a client that does not read")
        yield Section(title.format(onoff=onoff, seconds=seconds))
        with Scratch() as scratch:
            yield from _close_while_pending(scratch, onoff, seconds, remark)


def _set_linger(sock: socket.socket, onoff: int, seconds: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", onoff, seconds))


def _close_while_pending(scratch: Scratch, onoff: int, seconds: int, remark: str) -> Iterator[Entry]:
    """Close a connection whose buffers are full, and read the data afterwards."""
    client, connection = scratch.connection_pair()
    client.settimeout(_PATIENCE)
    connection.recv(1)
    connection.setblocking(False)
    _set_linger(connection, onoff, seconds)
    size = _fill(connection)
    yield Step(SERVER, N_("send until both buffers are full"), "ok")
    started_at = time.monotonic()
    connection.close()
    elapsed = time.monotonic() - started_at
    result = _("ok after {seconds:.1f} s").format(seconds=elapsed)
    ok = seconds <= elapsed + 0.1 and elapsed < seconds + 0.9
    expected = expect(result, ok, _("ok after {seconds:.1f} s").format(seconds=seconds))
    yield Step(SERVER, N_("close() of the nonblocking socket"), result, remark, expected)
    missing = size - sum(map(len, iter(lambda: client.recv(len(_CHUNK)), b"")))
    text = N_("recv until the end of file: bytes lost")
    yield Step(CLIENT, text, str(missing), expected="0")


def _fill(sock: socket.socket) -> int:
    """Send until the send buffer is full, and return the number of bytes."""
    size = 0
    while True:
        try:
            size += sock.send(_CHUNK)
        except BlockingIOError:
            return size
