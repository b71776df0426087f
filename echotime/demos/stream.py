"""Demonstrate the bytes of a TCP stream, and when they are sent: SO_OOBINLINE and TCP_NODELAY."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from statistics import median

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, attempt, expect
from echotime.i18n.language import gettext as _
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.values import N_

_ROUNDS = 7
_WRITES = (b"hello", b"\nI get it!\n", b"ok")


def urgent() -> Iterator[Entry]:
    """Show that SO_OOBINLINE keeps the urgent byte in the stream."""
    for inline, expected, remark in (
        (0, "b'abcdef'", N_("one byte short: the urgent byte is kept apart")),
        (1, "b'abcXdef'", N_("every byte in its place")),
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
                remark_oob = N_("a program must read it separately, and in time")
                call = connection.recv, 1, socket.MSG_OOB
                yield attempt(SERVER, *call, text="recv(1, MSG_OOB)", remark=remark_oob, expected="b'X'")
            text = N_("recv until the end of file")
            yield attempt(SERVER, _recv_all, connection, text=text, remark=remark, expected=expected)


def _recv_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(100), b""))


def nagle() -> Iterator[Entry]:
    """Show how Nagle's algorithm delays an answer in three writes, and TCP_NODELAY does not."""
    for nodelay, remark in (
        (0, N_("the second write waits for the client's acknowledgement, which the client delays")),
        (1, N_("each write is sent at once")),
    ):
        title = _("TCP_NODELAY={value}: a request, and an answer in three writes")
        yield Section(title.format(value=nodelay))
        with Scratch() as scratch:
            client, connection = scratch.connection_pair()
            connection.recv(1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, nodelay)
            elapsed_ms = median(_round_trip(client, connection) for _number in range(_ROUNDS))
        template = _("{number} ms")
        result = template.format(number=f"{elapsed_ms:.{1 if elapsed_ms >= 1 else 3}f}")
        ok = elapsed_ms < 10 if nodelay else elapsed_ms > 10
        expected = expect(result, ok, template.format(number="< 1" if nodelay else 40))
        yield Step(
            CLIENT, _("time to the whole answer, median of {count}").format(count=_ROUNDS), result, remark, expected
        )


def _round_trip(client: socket.socket, connection: socket.socket) -> float:
    """Return the milliseconds of one request and its answer."""
    started_at = time.monotonic()
    client.send(b"hello")
    for part in (connection.recv(100), *_WRITES[1:]):
        connection.send(part)
    remaining = len(b"".join(_WRITES))
    while remaining:
        remaining -= len(client.recv(remaining))
    return (time.monotonic() - started_at) * 1000
