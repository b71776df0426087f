"""Demonstrate what happens between connect and accept: the backlog, and TCP_DEFER_ACCEPT."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Skipped, Step, accept_queue, attempt, expect
from echotime.i18n.language import gettext as _
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import read_tcp_info
from echotime.sockopt.values import N_

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
                remark = N_("rounded to SYN-ACK retransmissions: 1 + 2 + 4 seconds")
                yield Step(SERVER, f"setsockopt {seconds}, getsockopt", effective, remark, "7")
            client = scratch.connected_client(scratch.bind(listener))
            yield Step(CLIENT, N_("connect; sends nothing"), "ok")
            text = _("accept, with a timeout of {seconds} s").format(seconds=_TIMEOUT)
            yield attempt(SERVER, _accept, scratch, listener, text=text, expected=expected)
            if seconds:
                yield attempt(CLIENT, client.sendall, b"hello", expected="ok")
                yield attempt(SERVER, _accept, scratch, listener, text="accept", expected="accepted")


def _accept(scratch: Scratch, listener: socket.socket) -> str:
    scratch.accept(listener)
    return N_("accepted")


def backlog() -> Iterator[Entry]:
    """Show the accept queue of a listener, and how the backlog argument of listen limits it."""
    somaxconn = int(Path("/proc/sys/net/core/somaxconn").read_bytes())
    if somaxconn < _BACKLOG:
        reason = _("net.core.somaxconn is {number} on this host and limits every backlog")
        yield Skipped(reason.format(number=somaxconn))
        return
    yield Section(N_("listen(2), five clients, no accept"))
    with Scratch() as scratch:
        listener = scratch.bind(scratch.open("tcp"), 2)
        listener.settimeout(_TIMEOUT)
        clients = [_start_connect(scratch, listener) for _ in range(5)]
        yield Step(
            CLIENT,
            N_("the five states, by TCP_INFO"),
            " ".join(read_tcp_info(client).state for client in clients),
            N_("three are connected before any accept; the SYNs of the others get no answer"),
            "ESTABLISHED ESTABLISHED ESTABLISHED SYN_SENT SYN_SENT",
        )
        yield accept_queue(listener, 3, 2, N_("the kernel keeps one more than the backlog"))
        yield Section(N_("listen(4) on the same socket, while it serves"))
        listener.listen(_BACKLOG)
        remark = N_("the limit changes at once; the other two connect when they retransmit their SYN")
        yield accept_queue(listener, 3, 4, remark)
        yield attempt(SERVER, _accept, scratch, listener, text="accept", expected="accepted")
        yield accept_queue(listener, 2, 4)
    yield Section("listen(1000000)")
    with Scratch() as scratch:
        limit = read_tcp_info(scratch.bind(scratch.open("tcp"), 1_000_000)).accept_queue_limit
        expected = expect(str(limit), limit < 1_000_000, "4096")
        yield Step(SERVER, N_("TCP_INFO: the limit"), str(limit), N_("net.core.somaxconn limits it"), expected)


def _start_connect(scratch: Scratch, listener: socket.socket) -> socket.socket:
    client = scratch.open("tcp")
    client.setblocking(False)
    client.connect_ex(listener.getsockname())
    return client
