"""UDP ports that read only when their doRead is called, and clients for them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from tests.support.loopback import Served, options
from tests.support.twistd_process import LIMIT


@contextlib.contextmanager
def listening(
    served: Served,
    interface: str,
    *sockopts: str,
    min_source_port: int = 0,
    answer_broadcast: bool = False,
    **parameters: Any,
) -> Iterator[Any]:
    """Yield a port that reads only when its doRead is called, and close it at the end."""
    reactor = MemoryReactorClock()
    requested = options("SO_RCVBUF=1000000", *sockopts)
    port: Any = served.on(interface, sockopts=requested, reactor=reactor, min_source_port=min_source_port, **parameters)
    port.protocol.policy.set_answer_broadcast(answer_broadcast)
    port.startListening()
    port._next_batch_size = port.batch_size  # as under load, where it has grown
    try:
        yield port
    finally:
        port.stopListening()
        reactor.advance(0)


@contextlib.contextmanager
def client(to: tuple[Any, ...] | None = None, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Yield a UDP client. Connected to an address, it receives from no other."""
    host = to[0] if to else host
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        if to is None:
            sock.bind((host, 0))
        else:
            sock.connect(to)
        yield sock


def answered(port: Any, address: tuple[Any, ...]) -> bytes:
    """Return the reply that a client connected to an address receives."""
    with client(address) as sock:
        sock.send(b"x")
        port.doRead()
        assert port.errors == {}
        return sock.recv(100)


def heard(sock: socket.socket) -> list[tuple[bytes, Any]]:
    """Return all pending datagrams, each with its source host."""
    answers = []
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            answer, source = sock.recvfrom(70_000)
            answers.append((answer, source[0]))
    return answers
