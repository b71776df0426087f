"""Provide UDP ports that read when the test calls them, and clients for them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from tests.support.loopback import Served, options


@contextlib.contextmanager
def listening(served: Served, interface: str, *switched: str, min_source_port: int = 0, **how: Any) -> Iterator[Any]:
    """Listen on a port that reads when the test calls doRead(), and close it at the end."""
    reactor = MemoryReactorClock()
    sockopts = options("SO_RCVBUF=1000000", *switched)
    port: Any = served.on(interface, sockopts=sockopts, reactor=reactor, min_source_port=min_source_port, **how)
    port.startListening()
    port._next_batch_size = port.batch_size  # as under load, where it has grown
    try:
        yield port
    finally:
        port.stopListening()
        reactor.advance(0)


@contextlib.contextmanager
def client(to: tuple[Any, ...] | None = None, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Open a client socket; connected to an address, it receives from that address only."""
    host = to[0] if to else host
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        if to is None:
            sock.bind((host, 0))
        else:
            sock.connect(to)
        yield sock


def answered(port: Any, address: tuple[Any, ...]) -> bytes:
    """Send a datagram to the port from a connected socket and return the answer."""
    with client(address) as sock:
        sock.send(b"x")
        port.doRead()
        assert port.errors == {}
        return sock.recv(100)


def heard(sock: socket.socket) -> list[tuple[bytes, Any]]:
    """Return all datagrams that have arrived, with the host of each."""
    answers = []
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            answer, source = sock.recvfrom(70_000)
            answers.append((answer, source[0]))
    return answers
