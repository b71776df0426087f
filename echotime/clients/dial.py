"""Connecting over TCP with socket options set before connect, to the first of a host's addresses that answers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

from echotime.clients.lookup import Endpoint, endpoints
from echotime.clients.status import ClientFailed, Status
from echotime.sockopt.apply import OptionFailed, apply_or_close
from echotime.sockopt.assignment import Assignment, chosen
from echotime.sockopt.option import Target


class Dialed(Protocol):
    """A protocol that tells its factory when it is connected."""

    def connectionMade(self) -> None:
        """There is a transport now."""
        assert isinstance(self.factory, DialFactory)
        self.factory.connected.callback(self)


P = TypeVar("P", bound=Dialed)


class DialFactory(ClientFactory):
    """Makes one protocol; `connected` fires with it, or fails with ClientFailed."""

    noisy = False

    def __init__(self, make: Callable[[], Dialed]) -> None:
        self._make = make
        self.connector: IConnector | None = None
        self.connected: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, connected: Deferred[Any]) -> None:
        if self.connector is not None:
            self.connector.disconnect()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """The protocol, now that there is a connection."""
        protocol = self._make()
        protocol.factory = self
        return protocol

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """No connection."""
        if not self.connected.called:
            self.connected.errback(ClientFailed.from_failure(reason))


class OptionedClient(tcp.Client):
    """A client's socket with its options set; it is made by OptionedConnector, which has them."""

    def createInternetSocket(self) -> socket.socket:
        """A socket with its options set, not connected yet. Raises OSError or OptionFailed."""
        return apply_or_close(super().createInternetSocket(), self.connector.assignments)


class OptionedConnector(tcp.Connector):
    """A connector whose transports have socket options."""

    assignments: tuple[Assignment, ...] = ()

    def _makeTransport(self) -> OptionedClient:
        return OptionedClient(self.host, self.port, self.bindAddress, self, self.reactor)


async def dial(
    reactor: Any, host: str, port: int, make: Callable[[], P], asked: Sequence[Assignment], timeout: float
) -> P:
    """A connected protocol that `make` made. Raises ClientFailed, for the last address tried."""
    failed = ClientFailed(Status.NAME_NOT_FOUND)
    for endpoint in await endpoints(host, port, socket.SOCK_STREAM):
        try:
            connected: P = await _dial_one(reactor, endpoint, make, asked, timeout)
        except ClientFailed as reason:
            failed = reason
        else:
            return connected
    raise failed


def _dial_one(
    reactor: Any, endpoint: Endpoint, make: Callable[[], P], asked: Sequence[Assignment], timeout: float
) -> Deferred[P]:
    factory = DialFactory(make)
    connector = OptionedConnector(endpoint.host, endpoint.port, factory, timeout, None, reactor)
    connector.assignments = for_client("tcp", endpoint, asked)
    factory.connector = connector
    try:
        connector.connect()
    except OptionFailed as failed:
        raise ClientFailed(Status.FAILED, str(failed)) from failed
    return factory.connected


def for_client(transport: str, endpoint: Endpoint, asked: Sequence[Assignment]) -> tuple[Assignment, ...]:
    """The options that fit a client's socket to such an address."""
    return chosen(asked, Target(transport, frozenset({6 if endpoint.family == socket.AF_INET6 else 4})))
