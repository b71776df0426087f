"""One question to a socket of our own, which passes the network as a client's does.

Asked is answered or `ProbeFailed`, within the time that the caller gives; what the answer says is the caller's.
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

from echotime.net.udp import TimePort

SockAddr = tuple[Any, ...]
"""As the socket module has it: with the interface, of a link-local one."""
RETRY_INTERVAL = 0.2
"""Seconds until a datagram that was not answered is sent again: it may have found the receive buffer full."""


class ProbeFailed(Exception):
    """There was no answer; says why."""


class _BoundSocketClient(tcp.Client):
    """On a socket that is there already."""

    def createInternetSocket(self) -> socket.socket:
        sock: socket.socket = self.connector.sock
        return sock

    def doConnect(self) -> None:
        # an end of a socketpair is connected already; without a connector the question was given up before
        if hasattr(self, "connector") and self.socket.family == socket.AF_UNIX:
            self._connectDone()
        else:
            super().doConnect()


class _BoundSocketConnector(tcp.Connector):
    sock: socket.socket

    def _makeTransport(self) -> _BoundSocketClient:
        return _BoundSocketClient(self.host, self.port, self.bindAddress, self, self.reactor)


class EchoExchange(ClientFactory):
    """Sends a message over TCP, ends its side, and takes what comes, at most `max_bytes` bytes, until the end."""

    noisy = False
    _connector: Any
    _cancelled = False

    def __init__(self, message: bytes, max_bytes: int) -> None:
        self.message = message
        self.max_bytes = max_bytes
        self.received = bytearray()
        self.reply: Deferred[bytes] = Deferred(self._cancel)

    def run(self, reactor: Any, sock: socket.socket, address: SockAddr, timeout: float) -> Deferred[bytes]:
        """Fires with the answer, which comes over the socket; it is closed then."""
        host, port, *scope = address
        scoped = f"{host}%{scope[1]}" if scope and scope[1] else host
        # its own time limit is never reached
        self._connector = _BoundSocketConnector(scoped, port, self, 2 * timeout, None, reactor)
        self._connector.sock = sock
        self._connector.connect()
        return self.reply.addTimeout(timeout, reactor, _timed_out)

    def buildProtocol(self, addr: object) -> Protocol:
        """The one."""
        protocol = _ExchangeProtocol()
        protocol.factory = self
        return protocol

    def clientConnectionFailed(self, connector: object, reason: Failure) -> None:
        """Nobody there."""
        self.connection_closed(reason)

    def feed(self, data: bytes) -> bool:
        """A piece of the answer; whether more may come."""
        self.received += data
        if len(self.received) > self.max_bytes and not self.reply.called:
            self.reply.callback(bytes(self.received))
        return not self.reply.called

    def connection_closed(self, reason: Failure) -> None:
        """The connection is: in order, or not."""
        if self.reply.called or self._cancelled:
            return
        if reason.check(ConnectionDone):
            self.reply.callback(bytes(self.received))
        else:
            error_number = getattr(reason.value, "osError", None)
            self.reply.errback(ProbeFailed(os.strerror(error_number) if error_number else reason.getErrorMessage()))

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
    """Has a UDP port ask itself, now and then again, and takes the first answer of that size that comes back."""

    def __init__(self, port: TimePort, address: SockAddr, reply_size: int) -> None:
        self._port = port
        self._address = address
        self._reply_size = reply_size
        self._send_loop = LoopingCall(self._send)
        self.reply: Deferred[bytes] = Deferred()

    def run(self, reactor: Any, timeout: float) -> Deferred[bytes]:
        """Fires with the answer."""
        self._port.self_probe.expect_from(self._address, self._reply_received)
        self._send_loop.clock = reactor
        self._send_loop.start(RETRY_INTERVAL)
        return self.reply.addTimeout(timeout, reactor, _timed_out).addBoth(self._stop_sending)

    def _send(self) -> None:
        try:
            self._port.send_self_probe(self._address)
        except OSError as error:
            if not self.reply.called:
                self.reply.errback(ProbeFailed(error.strerror))

    def _reply_received(self, reply: bytes) -> bool:
        if len(reply) != self._reply_size:
            return False
        if not self.reply.called:
            self.reply.callback(reply)
        return True

    def _stop_sending(self, result: object) -> Any:
        if self._send_loop.running:
            self._send_loop.stop()
        return result


def _timed_out(result: object, timeout: float) -> NoReturn:
    raise ProbeFailed(f"no answer came within {timeout:g} s")
