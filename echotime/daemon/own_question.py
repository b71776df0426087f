"""One question to a socket of our own, asked as a client asks: over the network, from a port of its own.

Asked is answered or `Unanswered`, within the time that the caller gives; what the answer says is the caller's.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

Address = tuple[str, int]
Expect = Callable[[Address], object]
"""Told the address that a question will come from, before it is asked."""
AGAIN = 0.2
"""Seconds until a datagram that was not answered is sent again: it may have found the receive buffer full."""
_DATAGRAM = b"?"


class Unanswered(Exception):
    """There was no answer; says why."""


class EchoQuestion(ClientFactory):
    """Sends a message over TCP, ends its side, and takes what comes, at most `most` bytes, until the end."""

    noisy = False

    def __init__(self, message: bytes, most: int) -> None:
        self.message = message
        self.most = most
        self.received = bytearray()
        self.answer: Deferred[bytes] = Deferred(self._cancelled)

    def ask(self, reactor: Any, address: Address, expect: Expect, limit: float) -> Deferred[bytes]:
        """Fires with the answer. The source is the address that is asked, which is this host's."""
        self._connector = reactor.connectTCP(*address, self, bindAddress=(address[0], 0))
        # bound by now; the connection is made in a later turn of the reactor
        bound = getattr(self._connector.transport, "socket", None)
        if bound is not None:
            expect(bound.getsockname()[:2])
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
        if self.answer.called:
            return
        if reason.check(ConnectionDone):
            self.answer.callback(bytes(self.received))
        else:
            number = getattr(reason.value, "osError", None)
            self.answer.errback(Unanswered(os.strerror(number) if number else reason.getErrorMessage()))

    def _cancelled(self, answer: object) -> None:
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


class TimeQuestion(FileDescriptor):
    """Sends a datagram, now and then again, and takes the first that comes back. Not a udp.Port: those log."""

    def __init__(self, reactor: Any, address: Address) -> None:
        super().__init__(reactor)
        self._clock = reactor
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise Unanswered(error.strerror) from None
        try:
            self._socket.bind((address[0], 0))
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise Unanswered(error.strerror) from None
        self.fileno = self._socket.fileno  # type: ignore[method-assign]
        self._asking = LoopingCall(self._ask)
        self._asking.clock = self._clock
        self.answer: Deferred[bytes] = Deferred()

    def ask(self, expect: Expect, limit: float) -> Deferred[bytes]:
        """Fires with the answer."""
        expect(self._socket.getsockname()[:2])
        self.startReading()
        self._asking.start(AGAIN)
        return self.answer.addTimeout(limit, self._clock, _too_late).addBoth(self._close)

    def _ask(self) -> None:
        try:
            self._socket.send(_DATAGRAM)
        except OSError as error:
            self._failed(error)

    def doRead(self) -> None:
        """The answer, or what ICMP says."""
        try:
            answer = self._socket.recv(64)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(error)
        else:
            if not self.answer.called:
                self.answer.callback(answer)

    def _failed(self, error: OSError) -> None:
        if not self.answer.called:
            self.answer.errback(Unanswered(error.strerror))

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, and with it this."""
        super().connectionLost(reason)
        self.answer.cancel()

    def _close(self, result: object) -> Any:
        self.stopReading()
        if self._asking.running:
            self._asking.stop()
        self._socket.close()
        return result


def _too_late(result: object, limit: float) -> NoReturn:
    raise Unanswered(f"no answer came within {limit:g} s")
