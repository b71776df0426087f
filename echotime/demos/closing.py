"""What close does: SO_LINGER."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, result_of
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import read_tcp_info


def linger() -> Iterator[Entry]:
    """SO_LINGER {1, 0}: close is a reset."""
    for onoff, expected, remark in (
        (0, "b''", "end of file"),
        (1, "ECONNRESET", "and nothing of the server's side stays in TIME_WAIT"),
    ):
        yield Section(f"SO_LINGER {{{onoff}, 0}}")
        with Scratch() as scratch:
            client, connection = scratch.connection_pair()
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", onoff, 0))
            connection.send(b"goodbye")
            yield Step(SERVER, "send(b'goodbye'), then close", result_of(connection.close), expected="ok")
            yield Step(CLIENT, "recv(100)", result_of(client.recv, 100), "what was delivered is there", "b'goodbye'")
            yield Step(CLIENT, "recv(100)", result_of(client.recv, 100), remark, expected)
            state = read_tcp_info(client).state
            yield Step(CLIENT, "its state, by TCP_INFO", state, expected="CLOSE" if onoff else "CLOSE_WAIT")
