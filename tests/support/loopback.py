"""Provide protocols, clients and sockets on loopback for tests of echotime/net."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol, Protocol, ServerFactory
from zope.interface import implementer

from echotime.net.batch_responder import IBatchResponder
from echotime.net.udp import TimePort
from echotime.sockopt.assignment import Assignment, parse
from echotime.sockopt.catalogue.index import BY_NAME

LIMIT = 10


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
    """Send every datagram back, or raise for ``fail``.

    `singly` counts the datagrams received one by one; `together` lists the sizes of the batches.
    """

    noisy = False

    def __init__(self) -> None:
        self.singly = 0
        self.together: list[int] = []

    @property
    def given(self) -> int:
        """Return the number of datagrams received, singly and in batches."""
        return self.singly + sum(self.together)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.singly += 1
        if datagram == b"fail":
            raise ValueError("cannot be handled")
        assert self.transport is not None
        self.transport.write(datagram, addr)


@implementer(IBatchResponder)
class Short(Mirror):
    """Send short datagrams back one by one, and answer all others with ``x``."""

    per_datagram_lengths = frozenset(range(17))
    per_datagram_only = False
    per_datagram_ports: frozenset[int] = frozenset()

    def allow_batch(self, number: int, hosts: Callable[[], Mapping[str, int]]) -> bool:
        """Allow a batch response for all datagrams."""
        return True

    def batch_response(self, number: int) -> bytes:
        """Return the batch response to datagrams that are not short."""
        self.together.append(number)
        return b"x"

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        super().datagramReceived(datagram if len(datagram) in self.per_datagram_lengths else b"x", addr)


class Constant(Short):
    """Answer every datagram with ``x``."""

    per_datagram_lengths = frozenset()
    per_datagram_only = False
    per_datagram_ports: frozenset[int] = frozenset()


class Portable(TimePort):
    """Run a UDP port without recvmmsg(2)."""

    def _prepare(self) -> bool:
        return False


class Served(NamedTuple):
    """Name a kind of UDP port and the protocol it serves, which sends ``x`` back."""

    port: type[TimePort]
    protocol: type[Mirror]
    work: int
    """Largest number of datagrams per call."""

    def on(self, interface: str = "127.0.0.1", number: int = 0, **how: Any) -> TimePort:
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
