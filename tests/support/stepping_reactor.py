"""Reactors of a test's own, turned by hand: nothing happens between two steps, and time stands unless moved."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.task import Clock

from echotime.reactor import ChangelistReactor

STEPS = 20_000
"""Turns after which a test gives up."""


class SteppingEPollReactor(EPollReactor):
    """Twisted's epoll reactor, not installed, with a clock that the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.callLater = self.clock.callLater  # type: ignore[method-assign,assignment]
        self.seconds = self.clock.seconds

    def step(self, turns: int = 1) -> None:
        """Turn, without waiting."""
        for _ in range(turns):
            self.clock.advance(0)
            self.doIteration(0)

    def until(self, holds: Callable[[], object]) -> None:
        """Turn until it does."""
        for _ in range(STEPS):
            if holds():
                return
            self.step()
        raise AssertionError(f"not within {STEPS} turns of the reactor")


class SteppingReactor(SteppingEPollReactor, ChangelistReactor):
    """Our reactor, likewise."""


REACTORS = [SteppingReactor, SteppingEPollReactor]


@contextmanager
def stepping(kind: type[SteppingEPollReactor] = SteppingReactor) -> Iterator[SteppingEPollReactor]:
    """Make a reactor whose descriptors are closed at the end."""
    reactor = kind()
    try:
        yield reactor
    finally:
        for each in reactor.removeAll():
            each.connectionLost(None)
        if reactor.waker is not None:
            reactor.waker.connectionLost(None)
        reactor._poller.close()


@contextmanager
def connected(port: Any, receive_buffer: int = 0) -> Iterator[socket.socket]:
    """A client of a port on loopback, that does not block."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    with sock:
        sock.connect(("127.0.0.1", port.getHost().port))
        sock.setblocking(False)
        yield sock


def received(sock: socket.socket, most: int = 1 << 20) -> bytes | None:
    """What is there; None for nothing, empty for the end. Raises ConnectionResetError."""
    try:
        return sock.recv(most)
    except BlockingIOError:
        return None


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
