"""Connect over TCP, with socket options set before connect, to the first address of a host that accepts.

The attempts overlap, as RFC 8305 describes, so that an address that drops packets costs a fraction of a second.
Twisted's HostnameEndpoint does the same, but waits before the second address even if the first was refused, and has no
place for socket options.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet import error, tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, FailureGroup, race, succeed
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

from echotime.client.deadline import Deadline
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.sockopt.apply import OptionError, apply_or_close
from echotime.sockopt.assignment import Assignment, select_assignments
from echotime.sockopt.error_queue import read_errors
from echotime.sockopt.option import SocketTraits
from echotime.wire.hostport import HostPort

MakeHeader = Callable[[HostPort, HostPort], bytes]
"""Return the bytes that open a connection, from its own address and the remote one."""

ATTEMPT_DELAY = 0.25
"""Seconds from an attempt to the next one, which goes to another address (RFC 8305 section 5)."""
_NO_TIMEOUT: Any = None
"""Value for Twisted, which declares a float."""
_MAX_ERRORS = 64
"""Maximum messages of the error queue read in one call."""


class ConnectedProtocol(Protocol):
    """Write the factory's header, and fire its `connected`, when the connection is made."""

    address: ResolvedAddress
    """The address to which the connection was made."""

    def connectionMade(self) -> None:
        assert isinstance(self.factory, ConnectFactory)
        self.address = self.factory.address
        if self.factory.make_header is not None:
            assert self.transport is not None
            own, remote = _hostport(self.transport.getHost()), _hostport(self.transport.getPeer())
            self.transport.write(self.factory.make_header(own, remote))
        self.factory.connected.callback(self)


def _hostport(address: IAddress) -> HostPort:
    assert isinstance(address, IPv4Address | IPv6Address)
    return HostPort(address.host, address.port)


P = TypeVar("P", bound=ConnectedProtocol)


class ConnectFactory(ClientFactory):
    """Build one protocol. `connected` fires with the connected protocol, or fails with ClientError."""

    noisy = False

    def __init__(
        self,
        address: ResolvedAddress,
        protocol_factory: Callable[[], ConnectedProtocol],
        make_header: MakeHeader | None = None,
    ) -> None:
        self.address = address
        self.make_header = make_header
        self._protocol_factory = protocol_factory
        self.connector: IConnector | None = None
        self.connected: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, connected: Deferred[Any]) -> None:
        connector, self.connector = self.connector, None
        if connector is not None:
            connector.disconnect()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        protocol = self._protocol_factory()
        protocol.factory = self
        return protocol

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if self.connector is not None:  # else it was cancelled
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
    addresses: Sequence[ResolvedAddress],
    protocol_factory: Callable[[], P],
    sockopts: Sequence[Assignment],
    deadline: Deadline,
    make_header: MakeHeader | None = None,
) -> P:
    """Return a protocol that is connected to one of the addresses, and has written the header if there is one.

    Raises ClientError: with TIMED_OUT at the deadline, or with the error of the last address if all have failed.
    """
    attempts: list[Deferred[P]] = []
    turn: Deferred[None] = succeed(None)
    for address in addresses:
        next_turn: Deferred[None] = Deferred()
        attempt = _connect_in_turn(reactor, turn, next_turn, address, protocol_factory, sockopts, make_header)
        attempts.append(Deferred.fromCoroutine(attempt))
        turn = next_turn
    try:
        _index, connected = await deadline.limit(race(attempts), ClientError(ExitStatus.TIMED_OUT))
    except FailureGroup as failed:
        failed.failures[-1].raiseException()
    return connected


async def _connect_in_turn(
    reactor: Any,
    turn: Deferred[None],
    next_turn: Deferred[None],
    address: ResolvedAddress,
    protocol_factory: Callable[[], P],
    sockopts: Sequence[Assignment],
    make_header: MakeHeader | None,
) -> P:
    """Connect once `turn` has fired. Fire `next_turn` after a delay, or at once if connecting fails."""
    await turn
    timer = reactor.callLater(ATTEMPT_DELAY, next_turn.callback, None)
    try:
        return await _connect_to(reactor, address, protocol_factory, sockopts, make_header)
    except ClientError:
        if timer.active():
            timer.cancel()
            next_turn.callback(None)
        raise
    finally:
        if timer.active():
            timer.cancel()


def _connect_to(
    reactor: Any,
    address: ResolvedAddress,
    protocol_factory: Callable[[], P],
    sockopts: Sequence[Assignment],
    make_header: MakeHeader | None,
) -> Deferred[P]:
    factory = ConnectFactory(address, protocol_factory, make_header)
    connector = SockoptConnector(address.host, address.port, factory, _NO_TIMEOUT, None, reactor)
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
