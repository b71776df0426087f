"""Demonstrate what close does: SO_LINGER."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, attempt, tcp_state
from echotime.sockopt.scratch import Scratch


def linger() -> Iterator[Entry]:
    """Show that with SO_LINGER {1, 0} close resets the connection."""
    for onoff, expected, remark, state in (
        (0, "b''", "end of file", "CLOSE_WAIT"),
        (1, "ECONNRESET", "and the server's side leaves nothing in TIME_WAIT", "CLOSE"),
    ):
        yield Section(f"SO_LINGER {{{onoff}, 0}}")
        with Scratch() as scratch:
            client, connection = scratch.connection_pair()
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", onoff, 0))
            connection.send(b"goodbye")
            yield attempt(SERVER, connection.close, text="send(b'goodbye'), then close", expected="ok")
            yield attempt(CLIENT, client.recv, 100, remark="data that has arrived can be read", expected="b'goodbye'")
            yield attempt(CLIENT, client.recv, 100, remark=remark, expected=expected)
            yield tcp_state(CLIENT, client, state)
