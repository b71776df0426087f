"""Provide protocols, clients and sockets on loopback for tests of echotime/net."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol, Protocol, ServerFactory
from zope.interface import implementer

from echotime.counters import ServiceCounters
from echotime.limits.datagrams import DatagramBatch
from echotime.net.udp import IBatchResponder, TimePort
from echotime.net.udp_port import SingleDatagramPort
from echotime.services.datagram_policy import DatagramPolicy
from echotime.sockopt.assignment import Assignment, parse
from echotime.sockopt.catalogue.index import BY_NAME
from tests.support.twistd_process import LIMIT


class Sizes(Protocol):
    """Record the sizes of received messages and the last transport."""

    def dataReceived(self, data: bytes) -> None:
        """Record the size, and fire `done` when the whole message arrived."""
        factory = self.factory
        assert isinstance(factory, SizesFactory)
        factory.sizes.append(len(data))
        factory.connection = self.transport
        if sum(factory.sizes) >= factory.expected:
            factory.done.callback(None)


class SizesFactory(ServerFactory):
    """Build protocols that record message sizes in this factory."""

    noisy = False
    protocol = Sizes

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.sizes: list[int] = []
        self.connection: Any = None
        self.done: Deferred[None] = Deferred()


class Mirror(DatagramProtocol):
    """Send back every datagram that its policy admits, or fail; count those that are served singly and together."""

    noisy = False

    def __init__(self) -> None:
        self.counters = ServiceCounters()
        self.policy = DatagramPolicy(self.counters, time.time)
        self.singly = 0
        self.together: list[int] = []

    @property
    def given(self) -> int:
        """The number of datagrams that were not refused."""
        return self.singly + sum(self.together)

    @property
    def refused(self) -> dict[str, int]:
        """The number of refused datagrams by reason."""
        return self.counters.refusals()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if not self.policy.refusal(datagram, addr):
            self.serve(datagram, addr)

    def serve(self, datagram: bytes, addr: Any) -> None:
        """Send one datagram back to its sender."""
        self.singly += 1
        if datagram == b"fail":
            raise ValueError("cannot be handled")
        assert self.transport is not None
        self.transport.write(datagram, addr)


@implementer(IBatchResponder)
class Short(Mirror):
    """Send short datagrams back one by one; reply ``x`` to all others."""

    per_datagram_lengths = frozenset(range(17))

    def probe_received(self, source: Any) -> None:
        raise AssertionError("there is no health check")

    def batch_response(self, batch: DatagramBatch) -> bytes | None:
        if not self.per_datagram_lengths.isdisjoint(batch.lengths()) or not self.policy.admits_batch(batch):
            return None
        self.together.append(batch.count)
        return b"x"

    def serve(self, datagram: bytes, addr: Any) -> None:
        super().serve(datagram if len(datagram) in self.per_datagram_lengths else b"x", addr)


class Constant(Short):
    """Reply ``x`` to every datagram."""

    per_datagram_lengths = frozenset()


class Portable(TimePort):
    """Run a UDP port without recvmmsg(2)."""

    def _prepare(self) -> bool:
        return False


class Served(NamedTuple):
    """Name a kind of UDP port and the protocol it serves, which sends ``x`` back."""

    port: type[SingleDatagramPort]
    protocol: Callable[[], DatagramProtocol]
    work: int
    """Largest number of datagrams per call."""

    def on(self, interface: str = "127.0.0.1", number: int = 0, **how: Any) -> SingleDatagramPort:
        """Return a port that is not listening yet."""
        return self.port(number, self.protocol(), interface=interface, **how)


_MANY = TimePort.max_per_call
SERVED = {
    "portable": Served(Portable, Mirror, Portable.batch_size),
    "batched, one by one": Served(TimePort, Short, _MANY),
    "batched, together": Served(TimePort, Constant, _MANY),
}
Started = Callable[[Any], Any]
"""Start a port and stop it after the test."""


def open_descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def options(*texts: str) -> list[Assignment]:
    """Parse assignments as given on a command line."""
    return [parse(text) for text in texts]


def get(sock: socket.socket, name: str) -> int:
    """Read the value of an option from a socket."""
    option = BY_NAME[name]
    return sock.getsockopt(option.level_number, option.number)


def deliver(address: tuple[str, int], data: bytes) -> None:
    """Send data over TCP and close the connection."""
    with socket.create_connection(address, timeout=LIMIT) as sock:
        sock.sendall(data)
        sock.recv(1)


def bound(kind: socket.SocketKind, *, listen: bool = True) -> socket.socket:
    """Return a blocking socket on loopback, as a service manager could pass it."""
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM and listen:
        sock.listen()
    return sock
