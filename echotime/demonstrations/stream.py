"""What becomes of the bytes of a stream: SO_OOBINLINE and TCP_NODELAY."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from statistics import median

from echotime.demonstrations.script import CLIENT, SERVER, Act, Line, Phase, judged, outcome
from echotime.sockopt.scratch import Scratch

_ROUNDS = 7
_WRITES = (b"hello", b"\nI get it!\n", b"ok")


def urgent() -> Iterator[Line]:
    """SO_OOBINLINE: where the urgent byte goes."""
    for inline, expected, remark in (
        (0, "b'abcdef'", "one byte short: the urgent one is kept apart"),
        (1, "b'abcXdef'", "every byte in its place"),
    ):
        yield Phase(f"SO_OOBINLINE={inline}")
        with Scratch() as scratch:
            client, connection = scratch.pair()
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
            client.send(b"abc")
            client.send(b"X", socket.MSG_OOB)
            client.send(b"def")
            client.shutdown(socket.SHUT_WR)
            yield Act(CLIENT, "send(b'abc'), send(b'X', MSG_OOB), send(b'def')", "ok")
            if not inline:
                yield Act(
                    SERVER,
                    "recv(1, MSG_OOB)",
                    outcome(connection.recv, 1, socket.MSG_OOB),
                    "for those who ask for it, in time",
                    "b'X'",
                )
            yield Act(SERVER, "recv until the end of file", outcome(_all, connection), remark, expected)


def _all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(100), b""))


def nagle() -> Iterator[Line]:
    """TCP_NODELAY: an answer in three writes."""
    for nodelay, remark in (
        (0, "the second write waits for the client's acknowledgement, and the client delays that"),
        (1, "each write is sent at once"),
    ):
        yield Phase(f"TCP_NODELAY={nodelay}: a question, and an answer in three writes")
        with Scratch() as scratch:
            client, connection = scratch.pair()
            connection.recv(1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
            took = median(_round(client, connection) for _ in range(_ROUNDS))
        result = f"{took:.1f} ms" if took >= 1 else f"{took:.3f} ms"
        well = took < 10 if nodelay else took > 10
        yield Act(
            CLIENT,
            f"until it has the answer, median of {_ROUNDS}",
            result,
            remark,
            judged(result, well, "less than 1 ms" if nodelay else "40 ms"),
        )


def _round(client: socket.socket, connection: socket.socket) -> float:
    """Milliseconds of one question and its answer."""
    began = time.monotonic()
    client.send(b"hello")
    for part in (connection.recv(100), *_WRITES[1:]):
        connection.send(part)
    left = len(b"".join(_WRITES))
    while left:
        left -= len(client.recv(left))
    return (time.monotonic() - began) * 1000
