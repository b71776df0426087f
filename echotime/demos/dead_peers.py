"""How a peer that is gone is noticed: SO_KEEPALIVE and TCP_USER_TIMEOUT.

A peer dies here by IP_MINTTL: its kernel drops every segment that arrives with a smaller time to live than the
largest there is, and answers nothing. To the other side that looks like a pulled cable.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, expect, result_of
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import read_tcp_info

_IP_MINTTL = 21
_MAX_WAIT_MS = 3000
"""Milliseconds after which a demonstration gives up."""


def keepalive() -> Iterator[Entry]:
    """SO_KEEPALIVE with the shortest times there are."""
    yield Section("two connections, silent, whose clients die: one without SO_KEEPALIVE, one with it")
    with Scratch() as scratch:
        (plain, _), (watched, _) = _pair_with_dead_client(scratch), _pair_with_dead_client(scratch)
        for name, value in (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 1)):
            watched.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        watched.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        yield Step(SERVER, "SO_KEEPALIVE=1, TCP_KEEPIDLE, _INTVL and _CNT=1", "ok")
        yield from _wait_for_timeout(watched, "with", 1.5, 2.9)
        plain.setblocking(False)
        yield Step(SERVER, "without: recv(100)", result_of(plain.recv, 100), "it would wait for ever", "nothing")


def user_timeout() -> Iterator[Entry]:
    """TCP_USER_TIMEOUT: sent bytes that nobody acknowledges."""
    yield Section("two connections whose clients die, and both are sent something; one has TCP_USER_TIMEOUT=500")
    with Scratch() as scratch:
        (plain, _), (watched, _) = _pair_with_dead_client(scratch), _pair_with_dead_client(scratch)
        watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
        for sock in (plain, watched):
            sock.send(b"are you there?")
        yield from _wait_for_timeout(watched, "with", 0.4, 2.0)
        plain.setblocking(False)
        yield Step(
            SERVER,
            "without: recv(100)",
            result_of(plain.recv, 100),
            "net.ipv4.tcp_retries2 decides: a quarter of an hour",
            "nothing",
        )
        retransmits = str(read_tcp_info(plain).total_retransmits)
        yield Step(
            SERVER,
            "without: sent again so far, by TCP_INFO",
            retransmits,
            expected=expect(retransmits, retransmits != "0", "1"),
        )


def _pair_with_dead_client(scratch: Scratch) -> tuple[socket.socket, socket.socket]:
    """The server's side of a connection and the client's, which receives nothing from now on."""
    client, connection = scratch.connection_pair()
    connection.recv(1)
    client.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, 255)
    return connection, client


def _wait_for_timeout(connection: socket.socket, label: str, min_seconds: float, max_seconds: float) -> Iterator[Entry]:
    yield Step(CLIENT, "is gone, and says nothing")
    started_at = time.monotonic()
    poller = select.poll()
    poller.register(connection, 0)
    poller.poll(_MAX_WAIT_MS)
    elapsed = time.monotonic() - started_at
    result = f"{result_of(connection.recv, 100)} after {elapsed:.1f} s"
    ok = result.startswith("ETIMEDOUT") and min_seconds < elapsed < max_seconds
    yield Step(
        SERVER, f"{label}: recv(100)", result, expected=expect(result, ok, f"ETIMEDOUT after {min_seconds} s or so")
    )
