"""Connect over TCP, with socket options set before connect, to the first address of a host that accepts."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet import error, tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress, resolve
from echotime.sockopt.apply import OptionError, apply_or_close
from echotime.sockopt.assignment import Assignment, select_assignments
from echotime.sockopt.error_queue import read_errors
from echotime.sockopt.option import SocketTraits

_MAX_ERRORS = 64
"""Maximum messages of the error queue read in one call."""


class ConnectedProtocol(Protocol):
    """Fire the factory's `connected` when the connection is made."""

    def connectionMade(self) -> None:
        assert isinstance(self.factory, ConnectFactory)
        self.factory.connected.callback(self)


P = TypeVar("P", bound=ConnectedProtocol)


class ConnectFactory(ClientFactory):
    """Build one protocol. `connected` fires with the connected protocol, or fails with ClientError."""

    noisy = False

    def __init__(self, protocol_factory: Callable[[], ConnectedProtocol]) -> None:
        self._protocol_factory = protocol_factory
        self.connector: IConnector | None = None
        self.connected: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, connected: Deferred[Any]) -> None:
        if self.connector is not None:
            self.connector.disconnect()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        protocol = self._protocol_factory()
        protocol.factory = self
        return protocol

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if not self.connected.called:
            self.connected.errback(ClientError.from_failure(reason))


class SockoptClient(tcp.Client):
    """Open a client socket with the options of its SockoptConnector."""

    def createInternetSocket(self) -> socket.socket:
        """Return a socket with its options set, not connected yet. Raises OSError or OptionError."""
        return apply_or_close(super().createInternetSocket(), self.connector.assignments)

    def readConnectionLost(self, reason: Failure) -> None:
        """Read the pending error first: Twisted's epoll reactor takes EPOLLERR alone for the end of file."""
        number = next(filter(None, read_errors(self.socket, _MAX_ERRORS)), 0)
        if number and self.connected:
            self.connectionLost(Failure(OSError(number, os.strerror(number))))
        elif number:
            self.failIfNotConnected(error.getConnectError((number, os.strerror(number))))
        elif _at_end(self.socket):
            super().readConnectionLost(reason)
        else:  # only timestamps were in the error queue
            self.startReading()


def _at_end(sock: socket.socket) -> bool:
    """Return True if the peer sent a FIN or a RST."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


class SockoptConnector(tcp.Connector):
    """Set socket options on the transports that this connector makes."""

    assignments: tuple[Assignment, ...] = ()

    def _makeTransport(self) -> SockoptClient:
        return SockoptClient(self.host, self.port, self.bindAddress, self, self.reactor)


async def connect(
    reactor: Any,
    host: str,
    port: int,
    protocol_factory: Callable[[], P],
    sockopts: Sequence[Assignment],
    timeout: float,
) -> P:
    """Return a connected protocol made by `protocol_factory`. Raises ClientError for the last address tried."""
    failed = ClientError(ExitStatus.NAME_NOT_FOUND)
    for address in await resolve(host, port, socket.SOCK_STREAM):
        try:
            connected: P = await _connect_to(reactor, address, protocol_factory, sockopts, timeout)
        except ClientError as reason:
            failed = reason
        else:
            return connected
    raise failed


def _connect_to(
    reactor: Any,
    address: ResolvedAddress,
    protocol_factory: Callable[[], P],
    sockopts: Sequence[Assignment],
    timeout: float,
) -> Deferred[P]:
    factory = ConnectFactory(protocol_factory)
    connector = SockoptConnector(address.host, address.port, factory, timeout, None, reactor)
    connector.assignments = select_for_client("tcp", address, sockopts)
    factory.connector = connector
    try:
        connector.connect()
    except OptionError as failed:
        raise ClientError(ExitStatus.FAILED, str(failed)) from failed
    return factory.connected


def select_for_client(
    transport: str, address: ResolvedAddress, sockopts: Sequence[Assignment]
) -> tuple[Assignment, ...]:
    """Return the options that apply to a client socket for such an address."""
    return select_assignments(
        sockopts, SocketTraits(transport, frozenset({6 if address.family == socket.AF_INET6 else 4}))
    )
