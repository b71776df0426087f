"""What becomes of the bytes of a stream: SO_OOBINLINE and TCP_NODELAY."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from statistics import median

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, expect, result_of
from echotime.sockopt.scratch import Scratch

_ROUNDS = 7
_WRITES = (b"hello", b"\nI get it!\n", b"ok")


def urgent() -> Iterator[Entry]:
    """SO_OOBINLINE: where the urgent byte goes."""
    for inline, expected, remark in (
        (0, "b'abcdef'", "one byte short: the urgent one is kept apart"),
        (1, "b'abcXdef'", "every byte in its place"),
    ):
        yield Section(f"SO_OOBINLINE={inline}")
        with Scratch() as scratch:
            client, connection = scratch.connection_pair()
            connection.recv(1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, inline)
            client.send(b"abc")
            client.send(b"X", socket.MSG_OOB)
            client.send(b"def")
            client.shutdown(socket.SHUT_WR)
            yield Step(CLIENT, "send(b'abc'), send(b'X', MSG_OOB), send(b'def')", "ok")
            if not inline:
                yield Step(
                    SERVER,
                    "recv(1, MSG_OOB)",
                    result_of(connection.recv, 1, socket.MSG_OOB),
                    "for those who ask for it, in time",
                    "b'X'",
                )
            yield Step(SERVER, "recv until the end of file", result_of(_recv_all, connection), remark, expected)


def _recv_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(100), b""))


def nagle() -> Iterator[Entry]:
    """TCP_NODELAY: an answer in three writes."""
    for nodelay, remark in (
        (0, "the second write waits for the client's acknowledgement, and the client delays that"),
        (1, "each write is sent at once"),
    ):
        yield Section(f"TCP_NODELAY={nodelay}: a question, and an answer in three writes")
        with Scratch() as scratch:
            client, connection = scratch.connection_pair()
            connection.recv(1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
            elapsed_ms = median(_round_trip(client, connection) for _ in range(_ROUNDS))
        result = f"{elapsed_ms:.1f} ms" if elapsed_ms >= 1 else f"{elapsed_ms:.3f} ms"
        ok = elapsed_ms < 10 if nodelay else elapsed_ms > 10
        yield Step(
            CLIENT,
            f"until it has the answer, median of {_ROUNDS}",
            result,
            remark,
            expect(result, ok, "less than 1 ms" if nodelay else "40 ms"),
        )


def _round_trip(client: socket.socket, connection: socket.socket) -> float:
    """Milliseconds of one question and its answer."""
    started_at = time.monotonic()
    client.send(b"hello")
    for part in (connection.recv(100), *_WRITES[1:]):
        connection.send(part)
    remaining = len(b"".join(_WRITES))
    while remaining:
        remaining -= len(client.recv(remaining))
    return (time.monotonic() - started_at) * 1000
