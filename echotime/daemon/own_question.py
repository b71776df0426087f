"""One question to a socket of our own, which passes the network as a client's does.

Asked is answered or `Unanswered`, within the time that the caller gives; what the answer says is the caller's.
"""

from __future__ import annotations

import os
import socket
from typing import Any, NoReturn

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from echotime.ports.udp import TimePort

Address = tuple[Any, ...]
"""As the socket module has it: with the interface, of a link-local one."""
AGAIN = 0.2
"""Seconds until a datagram that was not answered is sent again: it may have found the receive buffer full."""


class Unanswered(Exception):
    """There was no answer; says why."""


class _Client(tcp.Client):
    """On a socket that is there already."""

    def createInternetSocket(self) -> socket.socket:
        given: socket.socket = self.connector.sock
        return given

    def doConnect(self) -> None:
        # an end of a socketpair is connected already; without a connector the question was given up before
        if hasattr(self, "connector") and self.socket.family == socket.AF_UNIX:
            self._connectDone()
        else:
            super().doConnect()


class _Connector(tcp.Connector):
    sock: socket.socket

    def _makeTransport(self) -> _Client:
        return _Client(self.host, self.port, self.bindAddress, self, self.reactor)


class EchoQuestion(ClientFactory):
    """Sends a message over TCP, ends its side, and takes what comes, at most `most` bytes, until the end."""

    noisy = False
    _connector: Any
    _given_up = False

    def __init__(self, message: bytes, most: int) -> None:
        self.message = message
        self.most = most
        self.received = bytearray()
        self.answer: Deferred[bytes] = Deferred(self._cancelled)

    def ask(self, reactor: Any, sock: socket.socket, address: Address, limit: float) -> Deferred[bytes]:
        """Fires with the answer, which comes over the socket; it is closed then."""
        host, number, *more = address
        scoped = f"{host}%{more[1]}" if more and more[1] else host
        # its own time limit is never reached
        self._connector = _Connector(scoped, number, self, 2 * limit, None, reactor)
        self._connector.sock = sock
        self._connector.connect()
        return self.answer.addTimeout(limit, reactor, _too_late)

    def buildProtocol(self, addr: object) -> Protocol:
        """The one."""
        protocol = _EchoClient()
        protocol.factory = self
        return protocol

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        """Nobody there."""
        self.over(reason)

    def take(self, data: bytes) -> bool:
        """A piece of the answer; whether more may come."""
        self.received += data
        if len(self.received) > self.most and not self.answer.called:
            self.answer.callback(bytes(self.received))
        return not self.answer.called

    def over(self, reason: Failure) -> None:
        """The connection is: in order, or not."""
        if self.answer.called or self._given_up:
            return
        if reason.check(ConnectionDone):
            self.answer.callback(bytes(self.received))
        else:
            number = getattr(reason.value, "osError", None)
            self.answer.errback(Unanswered(os.strerror(number) if number else reason.getErrorMessage()))

    def _cancelled(self, answer: object) -> None:
        self._given_up = True
        if self._connector.state == "connected":
            self._connector.transport.abortConnection()
        else:
            self._connector.disconnect()


class _EchoClient(Protocol):
    factory: EchoQuestion
    transport: Any

    def connectionMade(self) -> None:
        self.transport.write(self.factory.message)
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        if not self.factory.take(data):
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.over(reason)


class TimeQuestion:
    """Has a UDP port ask itself, now and then again, and takes the first answer of that size that comes back."""

    def __init__(self, port: TimePort, address: Address, size: int) -> None:
        self._port = port
        self._address = address
        self._size = size
        self._asking = LoopingCall(self._ask)
        self.answer: Deferred[bytes] = Deferred()

    def ask(self, reactor: Any, limit: float) -> Deferred[bytes]:
        """Fires with the answer."""
        self._port.self_asked.listen(self._address, self._hear)
        self._asking.clock = reactor
        self._asking.start(AGAIN)
        return self.answer.addTimeout(limit, reactor, _too_late).addBoth(self._over)

    def _ask(self) -> None:
        try:
            self._port.ask_itself(self._address)
        except OSError as error:
            if not self.answer.called:
                self.answer.errback(Unanswered(error.strerror))

    def _hear(self, answer: bytes) -> bool:
        if len(answer) != self._size:
            return False
        if not self.answer.called:
            self.answer.callback(answer)
        return True

    def _over(self, result: object) -> Any:
        if self._asking.running:
            self._asking.stop()
        return result


def _too_late(result: object, limit: float) -> NoReturn:
    raise Unanswered(f"no answer came within {limit:g} s")
