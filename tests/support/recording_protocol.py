"""A protocol that notes what its transport tells it, and a port in a reactor turned by hand."""

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
"""More than the buffers of both ends hold."""


@implementer(IHalfCloseableProtocol)
class Noting(Protocol):
    """Notes what it is told, and does what its factory's `acts` say."""

    factory: Notes
    transport: Any

    def connectionMade(self) -> None:
        """It begins."""
        self.factory.connections.append(self)
        self._happens("made")

    def dataReceived(self, data: bytes) -> None:
        """A message."""
        self._happens("data", data)

    def readConnectionLost(self) -> None:
        """The client's end."""
        self._happens("read lost")

    def writeConnectionLost(self) -> None:
        """Our own."""
        self._happens("write lost")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All over."""
        self._happens("lost", reason.type)

    def _happens(self, *what: object) -> None:
        self.factory.noted.append(what)
        act = self.factory.acts.get(str(what[0]))
        if act is not None:
            act(self)


class Notes(ServerFactory):
    """Makes Noting."""

    noisy = False
    protocol = Noting  # type: ignore[assignment]  # its factory is of this class

    def __init__(self) -> None:
        self.noted: list[tuple[object, ...]] = []
        self.acts: dict[str, Any] = {}
        self.connections: list[Noting] = []

    @property
    def transport(self) -> Any:
        """That of the last connection."""
        return self.connections[-1].transport

    def happened(self, what: str) -> int:
        """How often."""
        return sum(each[0] == what for each in self.noted)


class Bench:
    """A port in a reactor of its own."""

    def __init__(self, reactor: SteppingEPollReactor, interface: str = "127.0.0.1") -> None:
        self.reactor = reactor
        self.ours = isinstance(reactor, ChangelistReactor)
        self.factory = Notes()
        self.port: Any = EchoPort(0, self.factory, interface=interface, reactor=reactor)
        self.port.startListening()

    def made(self, number: int = 1) -> Any:
        """The transport, once so many connections began."""
        self.reactor.until(lambda: self.factory.happened("made") == number)
        return self.factory.transport

    def read(self, sock: socket.socket, size: int) -> bytes:
        """So many bytes."""
        found = bytearray()

        def enough() -> bool:
            found.extend(received(sock, size - len(found)) or b"")
            return len(found) >= size

        self.reactor.until(enough)
        return bytes(found)

    def read_all(self, sock: socket.socket) -> bytes:
        """All until the end of file."""
        found: list[bytes] = []

        def ended() -> bool:
            piece = received(sock)
            found.append(piece or b"")
            return piece == b""

        self.reactor.until(ended)
        return b"".join(found)

    def over(self) -> None:
        """The end of the last connection, after which nothing is left of any."""
        self.reactor.until(lambda: self.factory.happened("lost") == len(self.factory.connections))
        self.reactor.step(3)
        assert self.factory.happened("lost") == len(self.factory.connections), "told twice"
        assert nothing_watched(self.reactor)


def nothing_watched(reactor: SteppingEPollReactor) -> bool:
    """Return True if a reactor has forgotten all connections."""
    if isinstance(reactor, ChangelistReactor):
        return not any(
            (reactor._connections, reactor._registered, reactor._new_connections, reactor._changed_connections)
        )
    return True
