"""Provide a protocol that records its events, and a port in a reactor that the test steps."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.net.tcp import EchoPort
from echotime.reactor import ChangelistReactor
from tests.support.stepping_reactor import SteppingEPollReactor, received

LARGE = bytes(range(256)) * 40_000
"""More bytes than the buffers of both ends hold."""


@implementer(IHalfCloseableProtocol)
class RecordingProtocol(Protocol):
    """Record each event, and call the action that the factory has for it."""

    factory: RecordingFactory
    transport: Any

    def connectionMade(self) -> None:
        self.factory.connections.append(self)
        self._record("made")

    def dataReceived(self, data: bytes) -> None:
        self._record("data", data)

    def readConnectionLost(self) -> None:
        self._record("read lost")

    def writeConnectionLost(self) -> None:
        self._record("write lost")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._record("lost", reason.type)

    def _record(self, *what: object) -> None:
        self.factory.events.append(what)
        act = self.factory.acts.get(str(what[0]))
        if act is not None:
            act(self)


class RecordingFactory(ServerFactory):
    """Build protocols that record their events in this factory."""

    noisy = False
    protocol = RecordingProtocol  # type: ignore[assignment]  # its factory is of this class

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.acts: dict[str, Any] = {}
        self.connections: list[RecordingProtocol] = []

    @property
    def transport(self) -> Any:
        """Return the transport of the last connection."""
        return self.connections[-1].transport

    def count(self, what: str) -> int:
        """Return the number of events of one kind."""
        return sum(each[0] == what for each in self.events)


class PortHarness:
    """Listen on a port in a reactor that the test steps."""

    def __init__(self, reactor: SteppingEPollReactor, interface: str = "127.0.0.1") -> None:
        self.reactor = reactor
        self.ours = isinstance(reactor, ChangelistReactor)
        self.factory = RecordingFactory()
        self.port: Any = EchoPort(0, self.factory, interface=interface, reactor=reactor)
        self.port.startListening()

    def made(self, number: int = 1) -> Any:
        """Return the last transport once `number` connections have been made."""
        self.reactor.until(lambda: self.factory.count("made") == number)
        return self.factory.transport

    def read(self, sock: socket.socket, size: int) -> bytes:
        """Step the reactor until `size` bytes were read."""
        found = bytearray()

        def enough() -> bool:
            found.extend(received(sock, size - len(found)) or b"")
            return len(found) >= size

        self.reactor.until(enough)
        return bytes(found)

    def read_all(self, sock: socket.socket) -> bytes:
        """Step the reactor until the end of file, and return all bytes."""
        found: list[bytes] = []

        def ended() -> bool:
            piece = received(sock)
            found.append(piece or b"")
            return piece == b""

        self.reactor.until(ended)
        return b"".join(found)

    def over(self) -> None:
        """Wait for the end of all connections, and check that the reactor forgot them."""
        self.reactor.until(lambda: self.factory.count("lost") == len(self.factory.connections))
        self.reactor.step(3)
        assert self.factory.count("lost") == len(self.factory.connections), "connectionLost was called twice"
        assert nothing_watched(self.reactor)


def nothing_watched(reactor: SteppingEPollReactor) -> bool:
    """Return True if a reactor has forgotten all connections."""
    if isinstance(reactor, ChangelistReactor):
        return not any(
            (reactor._connections, reactor._registered, reactor._new_connections, reactor._changed_connections)
        )
    return True
