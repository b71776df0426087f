"""What lies between a client's connect and accept: the backlog, and TCP_DEFER_ACCEPT."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Skipped, Step, expect, result_of
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import read_tcp_info

_TIMEOUT = 0.3
_BACKLOG = 4


def defer_accept() -> Iterator[Entry]:
    """TCP_DEFER_ACCEPT: a connection without a word is not reported."""
    for seconds, expected in ((0, "accepted"), (5, "nothing")):
        yield Section(f"TCP_DEFER_ACCEPT={seconds}")
        with Scratch() as scratch:
            listener = scratch.open("tcp")
            listener.settimeout(_TIMEOUT)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, seconds)
            if seconds:
                effective = str(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT))
                yield Step(
                    SERVER,
                    f"setsockopt {seconds}, getsockopt",
                    effective,
                    "rounded to SYN-ACK retransmissions: 1 + 2 + 4 seconds",
                    "7",
                )
            client = scratch.connected_client(scratch.bind(listener))
            yield Step(CLIENT, "connect; sends nothing", "ok")
            yield Step(
                SERVER, f"accept, waiting {_TIMEOUT} s", result_of(_accept, scratch, listener), expected=expected
            )
            if seconds:
                client.send(b"hello")
                yield Step(CLIENT, "send(b'hello')", "ok")
                yield Step(SERVER, "accept", result_of(_accept, scratch, listener), expected="accepted")


def _accept(scratch: Scratch, listener: socket.socket) -> str:
    scratch.accept(listener)
    return "accepted"


def backlog() -> Iterator[Entry]:
    """listen's backlog: who waits where, read from TCP_INFO of the listener."""
    somaxconn = int(Path("/proc/sys/net/core/somaxconn").read_bytes())
    if somaxconn < _BACKLOG:
        yield Skipped(
            f"net.core.somaxconn is {somaxconn} here, which bounds every backlog: there is nothing to compare"
        )
        return
    yield Section("listen(2), five clients, nobody accepts")
    with Scratch() as scratch:
        listener = scratch.bind(scratch.open("tcp"), 2)
        listener.settimeout(_TIMEOUT)
        clients = [_start_connect(scratch, listener) for _ in range(5)]
        states = " ".join(read_tcp_info(client).state for client in clients)
        yield Step(
            CLIENT,
            "the five states, by TCP_INFO",
            states,
            "three are connected before anybody accepts; the SYNs of the others go unanswered",
            "ESTABLISHED ESTABLISHED ESTABLISHED SYN_SENT SYN_SENT",
        )
        yield _queue_step(listener, 3, 2, "the kernel keeps one more than it was told")
        yield Section("listen(4) on the same socket, while it serves")
        listener.listen(_BACKLOG)
        yield _queue_step(listener, 3, 4, "the limit changes at once; the two get in when their SYNs are sent again")
        yield Step(SERVER, "accept", result_of(_accept, scratch, listener), expected="accepted")
        yield _queue_step(listener, 2, 4, "")
    yield Section("listen(1000000)")
    with Scratch() as scratch:
        listener = scratch.bind(scratch.open("tcp"), 1_000_000)
        limit = read_tcp_info(listener).accept_queue_limit
        yield Step(
            SERVER,
            "TCP_INFO: the limit",
            str(limit),
            "net.core.somaxconn bounds it",
            expect(str(limit), limit < 1_000_000, "4096"),
        )


def _queue_step(listener: socket.socket, accept_queue: int, limit: int, remark: str) -> Step:
    info = read_tcp_info(listener)
    return Step(
        SERVER,
        "TCP_INFO of the listener",
        f"{info.accept_queue} waiting, limit {info.accept_queue_limit}",
        remark,
        f"{accept_queue} waiting, limit {limit}",
    )


def _start_connect(scratch: Scratch, listener: socket.socket) -> socket.socket:
    client = scratch.open("tcp")
    client.setblocking(False)
    client.connect_ex(listener.getsockname())
    return client
