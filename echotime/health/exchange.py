"""Send one probe over a socket of the daemon and return the answer.

The Deferreds fail with ProbeFailed if there is no answer within the timeout. The caller judges the answer.
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

from echotime.net.udp_port import SingleDatagramPort

SockAddr = tuple[Any, ...]
"""An address in the form of the socket module, including the scope ID of a link-local address."""
RETRY_INTERVAL = 0.2
"""Seconds between datagrams of a UDP probe. The receive buffer may have been full."""


class ProbeFailed(Exception):
    """Raised if a probe gets no answer. The message is the reason."""


class _BoundSocketClient(tcp.Client):
    """A client on a socket that exists already."""

    def createInternetSocket(self) -> socket.socket:
        sock: socket.socket = self.connector.sock
        return sock

    def doConnect(self) -> None:
        # A socketpair is connected already. Without a connector the probe was cancelled before.
        if hasattr(self, "connector") and self.socket.family == socket.AF_UNIX:
            self._connectDone()
        else:
            super().doConnect()


class _BoundSocketConnector(tcp.Connector):
    sock: socket.socket

    def _makeTransport(self) -> _BoundSocketClient:
        return _BoundSocketClient(self.host, self.port, self.bindAddress, self, self.reactor)


class EchoExchange(ClientFactory):
    """Send a message over TCP, half-close, and receive at most `max_bytes` bytes until the peer's FIN."""

    noisy = False
    _connector: Any
    _cancelled = False

    def __init__(self, message: bytes, max_bytes: int) -> None:
        self.message = message
        self.max_bytes = max_bytes
        self.received = bytearray()
        self.answer: Deferred[bytes] = Deferred(self._cancel)

    def run(self, reactor: Any, sock: socket.socket, address: SockAddr, timeout: float) -> Deferred[bytes]:
        """Connect `sock` to `address` and return a Deferred that fires with the answer. The socket is then closed."""
        host, port, *scope = address
        scoped = f"{host}%{scope[1]}" if scope and scope[1] else host
        # the connector's own timeout is never reached
        self._connector = _BoundSocketConnector(scoped, port, self, 2 * timeout, None, reactor)
        self._connector.sock = sock
        self._connector.connect()
        return self.answer.addTimeout(timeout, reactor, _timed_out)

    def buildProtocol(self, addr: object) -> Protocol:
        protocol = _ExchangeProtocol()
        protocol.factory = self
        return protocol

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        self.connection_closed(reason)

    def feed(self, data: bytes) -> bool:
        """Add received bytes. Return False if the connection is no longer needed."""
        self.received += data
        if len(self.received) > self.max_bytes and not self.answer.called:
            self.answer.callback(bytes(self.received))
        return not self.answer.called

    def connection_closed(self, reason: Failure) -> None:
        """Fire with the bytes received before a FIN. Fail if the connection was reset or refused."""
        if self.answer.called or self._cancelled:
            return
        if reason.check(ConnectionDone):
            self.answer.callback(bytes(self.received))
        else:
            error_number = getattr(reason.value, "osError", None)
            self.answer.errback(ProbeFailed(os.strerror(error_number) if error_number else reason.getErrorMessage()))

    def _cancel(self, deferred: object) -> None:
        self._cancelled = True
        if self._connector.state == "connected":
            self._connector.transport.abortConnection()
        else:
            self._connector.disconnect()


class _ExchangeProtocol(Protocol):
    factory: EchoExchange
    transport: Any

    def connectionMade(self) -> None:
        self.transport.write(self.factory.message)
        self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        if not self.factory.feed(data):
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.connection_closed(reason)


class TimeExchange:
    """Send datagrams from a UDP port to itself until an answer of `answer_size` bytes comes back."""

    def __init__(self, port: SingleDatagramPort, address: SockAddr, answer_size: int) -> None:
        self._port = port
        self._address = address
        self._answer_size = answer_size
        self._send_loop = LoopingCall(self._send)
        self.answer: Deferred[bytes] = Deferred()

    def run(self, reactor: Any, timeout: float) -> Deferred[bytes]:
        """Send the first datagram and return a Deferred that fires with the answer."""
        self._port.self_probe.expect_from(self._address, self._answer_received)
        self._send_loop.clock = reactor
        self._send_loop.start(RETRY_INTERVAL)
        return self.answer.addTimeout(timeout, reactor, _timed_out).addBoth(self._stop_sending)

    def _send(self) -> None:
        try:
            self._port.send_self_probe(self._address)
        except OSError as error:
            if not self.answer.called:
                self.answer.errback(ProbeFailed(error.strerror))

    def _answer_received(self, answer: bytes) -> bool:
        if len(answer) != self._answer_size:
            return False
        if not self.answer.called:
            self.answer.callback(answer)
        return True

    def _stop_sending(self, result: object) -> Any:
        if self._send_loop.running:
            self._send_loop.stop()
        return result


def _timed_out(result: object, timeout: float) -> NoReturn:
    raise ProbeFailed(f"no answer within {timeout:g} s")
