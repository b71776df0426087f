"""How a peer that is gone is noticed: SO_KEEPALIVE and TCP_USER_TIMEOUT.

A peer dies here by IP_MINTTL: its kernel drops every segment that arrives with a smaller time to live than the
largest there is, and answers nothing. To the other side that looks like a pulled cable.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

from echotime.demonstrations.script import CLIENT, SERVER, Act, Line, Phase, judged, outcome
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import tcp_info

_IP_MINTTL = 21
_MOST = 3000
"""Milliseconds after which a demonstration gives up."""


def keepalive() -> Iterator[Line]:
    """SO_KEEPALIVE with the shortest times there are."""
    yield Phase("two connections, silent, whose clients die: one without SO_KEEPALIVE, one with it")
    with Scratch() as scratch:
        (plain, _), (watched, _) = _dying(scratch), _dying(scratch)
        for name, value in (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 1)):
            watched.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        watched.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        yield Act(SERVER, "SO_KEEPALIVE=1, TCP_KEEPIDLE, _INTVL and _CNT=1", "ok")
        yield from _ended(watched, "with", 1.5, 2.9)
        plain.setblocking(False)
        yield Act(SERVER, "without: recv(100)", outcome(plain.recv, 100), "it would wait for ever", "nothing")


def user_timeout() -> Iterator[Line]:
    """TCP_USER_TIMEOUT: sent bytes that nobody acknowledges."""
    yield Phase("two connections whose clients die, and both are sent something; one has TCP_USER_TIMEOUT=500")
    with Scratch() as scratch:
        (plain, _), (watched, _) = _dying(scratch), _dying(scratch)
        watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
        for sock in (plain, watched):
            sock.send(b"are you there?")
        yield from _ended(watched, "with", 0.4, 2.0)
        plain.setblocking(False)
        yield Act(
            SERVER,
            "without: recv(100)",
            outcome(plain.recv, 100),
            "net.ipv4.tcp_retries2 decides: a quarter of an hour",
            "nothing",
        )
        again = str(tcp_info(plain).total_retransmits)
        yield Act(SERVER, "without: sent again so far, by TCP_INFO", again, expected=judged(again, again != "0", "1"))


def _dying(scratch: Scratch) -> tuple[socket.socket, socket.socket]:
    """The server's side of a connection and the client's, which receives nothing from now on."""
    client, connection = scratch.pair()
    connection.recv(1)
    client.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, 255)
    return connection, client


def _ended(connection: socket.socket, label: str, least: float, most: float) -> Iterator[Line]:
    yield Act(CLIENT, "is gone, and says nothing")
    began = time.monotonic()
    end = select.poll()
    end.register(connection, 0)
    end.poll(_MOST)
    took = time.monotonic() - began
    result = f"{outcome(connection.recv, 100)} after {took:.1f} s"
    well = result.startswith("ETIMEDOUT") and least < took < most
    yield Act(SERVER, f"{label}: recv(100)", result, expected=judged(result, well, f"ETIMEDOUT after {least} s or so"))
