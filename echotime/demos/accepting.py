"""Demonstrate what happens between connect and accept: the backlog, and TCP_DEFER_ACCEPT."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Skipped, Step, accept_queue, attempt, expect
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import read_tcp_info

_TIMEOUT = 0.3
_BACKLOG = 4


def defer_accept() -> Iterator[Entry]:
    """Show that TCP_DEFER_ACCEPT hides a connection until it sends data."""
    for seconds, expected in ((0, "accepted"), (5, "nothing")):
        yield Section(f"TCP_DEFER_ACCEPT={seconds}")
        with Scratch() as scratch:
            listener = scratch.open("tcp")
            listener.settimeout(_TIMEOUT)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, seconds)
            if seconds:
                effective = str(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT))
                remark = "rounded to SYN-ACK retransmissions: 1 + 2 + 4 seconds"
                yield Step(SERVER, f"setsockopt {seconds}, getsockopt", effective, remark, "7")
            client = scratch.connected_client(scratch.bind(listener))
            yield Step(CLIENT, "connect; sends nothing", "ok")
            text = f"accept, with a timeout of {_TIMEOUT} s"
            yield attempt(SERVER, _accept, scratch, listener, text=text, expected=expected)
            if seconds:
                yield attempt(CLIENT, client.sendall, b"hello", expected="ok")
                yield attempt(SERVER, _accept, scratch, listener, text="accept", expected="accepted")


def _accept(scratch: Scratch, listener: socket.socket) -> str:
    scratch.accept(listener)
    return "accepted"


def backlog() -> Iterator[Entry]:
    """Show the accept queue of a listener, and how the backlog argument of listen limits it."""
    somaxconn = int(Path("/proc/sys/net/core/somaxconn").read_bytes())
    if somaxconn < _BACKLOG:
        yield Skipped(f"net.core.somaxconn is {somaxconn} on this host and limits every backlog")
        return
    yield Section("listen(2), five clients, no accept")
    with Scratch() as scratch:
        listener = scratch.bind(scratch.open("tcp"), 2)
        listener.settimeout(_TIMEOUT)
        clients = [_start_connect(scratch, listener) for _ in range(5)]
        yield Step(
            CLIENT,
            "the five states, by TCP_INFO",
            " ".join(read_tcp_info(client).state for client in clients),
            "three are connected before any accept; the SYNs of the others get no answer",
            "ESTABLISHED ESTABLISHED ESTABLISHED SYN_SENT SYN_SENT",
        )
        yield accept_queue(listener, "3 pending, limit 2", "the kernel keeps one more than the backlog")
        yield Section("listen(4) on the same socket, while it serves")
        listener.listen(_BACKLOG)
        remark = "the limit changes at once; the other two connect when they retransmit their SYN"
        yield accept_queue(listener, "3 pending, limit 4", remark)
        yield attempt(SERVER, _accept, scratch, listener, text="accept", expected="accepted")
        yield accept_queue(listener, "2 pending, limit 4")
    yield Section("listen(1000000)")
    with Scratch() as scratch:
        limit = read_tcp_info(scratch.bind(scratch.open("tcp"), 1_000_000)).accept_queue_limit
        expected = expect(str(limit), limit < 1_000_000, "4096")
        yield Step(SERVER, "TCP_INFO: the limit", str(limit), "net.core.somaxconn limits it", expected)


def _start_connect(scratch: Scratch, listener: socket.socket) -> socket.socket:
    client = scratch.open("tcp")
    client.setblocking(False)
    client.connect_ex(listener.getsockname())
    return client
