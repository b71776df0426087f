"""What lies between a client's connect and accept: the backlog, and TCP_DEFER_ACCEPT."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from echotime.demonstrations.script import CLIENT, SERVER, Act, Line, Phase, Unshown, judged, outcome
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import tcp_info

_SHORT = 0.3
_LONGEST = 4


def defer_accept() -> Iterator[Line]:
    """TCP_DEFER_ACCEPT: a connection without a word is not reported."""
    for seconds, expected in ((0, "accepted"), (5, "nothing")):
        yield Phase(f"TCP_DEFER_ACCEPT={seconds}")
        with Scratch() as scratch:
            listener = scratch.open("tcp")
            listener.settimeout(_SHORT)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, seconds)
            if seconds:
                asked = str(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT))
                yield Act(
                    SERVER,
                    f"setsockopt {seconds}, getsockopt",
                    asked,
                    "rounded to SYN-ACK retransmissions: 1 + 2 + 4 seconds",
                    "7",
                )
            client = scratch.client(scratch.bind(listener))
            yield Act(CLIENT, "connect; sends nothing", "ok")
            yield Act(SERVER, f"accept, waiting {_SHORT} s", outcome(_accepted, scratch, listener), expected=expected)
            if seconds:
                client.send(b"hello")
                yield Act(CLIENT, "send(b'hello')", "ok")
                yield Act(SERVER, "accept", outcome(_accepted, scratch, listener), expected="accepted")


def _accepted(scratch: Scratch, listener: socket.socket) -> str:
    scratch.accept(listener)
    return "accepted"


def backlog() -> Iterator[Line]:
    """listen's backlog: who waits where, read from TCP_INFO of the listener."""
    bound = int(Path("/proc/sys/net/core/somaxconn").read_bytes())
    if bound < _LONGEST:
        yield Unshown(f"net.core.somaxconn is {bound} here, which bounds every backlog: there is nothing to compare")
        return
    yield Phase("listen(2), five clients, nobody accepts")
    with Scratch() as scratch:
        listener = scratch.bind(scratch.open("tcp"), 2)
        listener.settimeout(_SHORT)
        clients = [_connecting(scratch, listener) for _ in range(5)]
        states = " ".join(tcp_info(client).state for client in clients)
        yield Act(
            CLIENT,
            "the five states, by TCP_INFO",
            states,
            "three are connected before anybody accepts; the SYNs of the others go unanswered",
            "ESTABLISHED ESTABLISHED ESTABLISHED SYN_SENT SYN_SENT",
        )
        yield _queue(listener, 3, 2, "the kernel keeps one more than it was told")
        yield Phase("listen(4) on the same socket, while it serves")
        listener.listen(_LONGEST)
        yield _queue(listener, 3, 4, "the limit changes at once; the two get in when their SYNs are sent again")
        yield Act(SERVER, "accept", outcome(_accepted, scratch, listener), expected="accepted")
        yield _queue(listener, 2, 4, "")
    yield Phase("listen(1000000)")
    with Scratch() as scratch:
        listener = scratch.bind(scratch.open("tcp"), 1_000_000)
        limit = tcp_info(listener).limit
        yield Act(
            SERVER,
            "TCP_INFO: the limit",
            str(limit),
            "net.core.somaxconn bounds it",
            judged(str(limit), limit < 1_000_000, "4096"),
        )


def _queue(listener: socket.socket, waiting: int, limit: int, remark: str) -> Act:
    info = tcp_info(listener)
    return Act(
        SERVER,
        "TCP_INFO of the listener",
        f"{info.waiting} waiting, limit {info.limit}",
        remark,
        f"{waiting} waiting, limit {limit}",
    )


def _connecting(scratch: Scratch, listener: socket.socket) -> socket.socket:
    client = scratch.open("tcp")
    client.setblocking(False)
    client.connect_ex(listener.getsockname())
    return client
