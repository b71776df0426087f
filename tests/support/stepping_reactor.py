"""Provide reactors that the test steps: between two steps nothing happens, and the clock stands still."""

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
    """Run Twisted's epoll reactor, not installed, with a clock that the test advances."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.callLater = self.clock.callLater  # type: ignore[method-assign,assignment]
        self.seconds = self.clock.seconds

    def step(self, turns: int = 1) -> None:
        """Turn the reactor without blocking."""
        for _ in range(turns):
            self.clock.advance(0)
            self.doIteration(0)

    def until(self, holds: Callable[[], object]) -> None:
        """Turn the reactor until a condition holds."""
        for _ in range(STEPS):
            if holds():
                return
            self.step()
        raise AssertionError(f"not within {STEPS} turns of the reactor")


class SteppingReactor(SteppingEPollReactor, ChangelistReactor):
    """Run the echotime reactor in the same way."""


REACTORS = [SteppingReactor, SteppingEPollReactor]


@contextmanager
def stepping(kind: type[SteppingEPollReactor] = SteppingReactor) -> Iterator[SteppingEPollReactor]:
    """Make a reactor and close its descriptors at the end."""
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
    """Connect a nonblocking client to a port on loopback."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    with sock:
        sock.connect(("127.0.0.1", port.getHost().port))
        sock.setblocking(False)
        yield sock


def received(sock: socket.socket, most: int = 1 << 20) -> bytes | None:
    """Read what has arrived; None if nothing, empty at the end of file. Raises ConnectionResetError."""
    try:
        return sock.recv(most)
    except BlockingIOError:
        return None


def reset(sock: socket.socket) -> None:
    """Close a socket with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
