"""ProxyHeaderProtocol: read the PROXY header of a connection from a load balancer, then serve the client it names.

The format is that of HAProxy's proxy-protocol.txt, versions 1 and 2 (wire.proxy_header).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.services.echo_factory import EchoFactory
from echotime.wire.connection_end import BY_CLIENT, BY_CLIENT_RESET
from echotime.wire.hostport import HostPort, format_hostport
from echotime.wire.proxy_header import ProxyHeader, ProxyHeaderFault, ProxyHeaderParser

HEADER_TIMEOUT = 3.0
"""Seconds in which the header must be complete."""


def build_proxied(
    factory: EchoFactory, addr: Any, admit: Callable[..., Protocol | None] | None = None
) -> ProxyHeaderProtocol | None:
    """Return a protocol that reads the header of a connection from a proxy, None at the connection limit.

    `admit` returns the protocol of the client; it is that of `factory` by default. Until the client is known, the
    connection counts for the connection limit and for `EchoFactory.when_empty`.
    """
    if not factory.admission.has_room(addr.host):
        return None
    return ProxyHeaderProtocol(factory, admit or factory.admit)


@implementer(IHalfCloseableProtocol)
class ProxyHeaderProtocol(Protocol):
    """Read the header, and hand the transport over to the protocol of the client. Reset it for anything else.

    As a LoggedConnection it is a connection without a message: a check of the port alone.
    """

    transport: Any
    via = behavior = ""
    number = messages = bytes_in = bytes_out = 0

    def __init__(self, factory: EchoFactory, admit: Callable[..., Protocol | None]) -> None:
        self._factory = factory
        self._admit = admit
        self._parser = ProxyHeaderParser()
        self._has_data = False
        self._is_waiting = False
        self._deadline: IDelayedCall | None = None

    @property
    def peer(self) -> str:
        """Return the proxy as ``host:port``."""
        proxy = self.transport.getPeer()
        return format_hostport(proxy.host, proxy.port)

    def connectionMade(self) -> None:
        self._is_waiting = True
        self.connected_at = self._clock.seconds()
        self._factory.awaiting_header.add(self)
        self._factory.admission.reserve()
        self._deadline = self._clock.callLater(HEADER_TIMEOUT, self._expire)

    @property
    def _clock(self) -> IReactorTime:
        return self._factory.traffic.clock

    def dataReceived(self, data: bytes) -> None:
        """Read the header. The bytes that follow it are the client's first message."""
        if not self._is_waiting:
            return
        self._has_data = True
        try:
            header = self._parser.feed(data)
        except ProxyHeaderFault as fault:
            self._refuse("refused_no_proxy_header" if fault.missing else "refused_proxy_header")
        else:
            if header is not None:
                self._serve(header)

    def _serve(self, header: ProxyHeader) -> None:
        factory, transport = self._factory, self.transport
        self._stop_waiting()
        factory.admission.release()  # before the client is counted
        protocol = None
        try:
            if header.source is None:  # the proxy speaks for itself
                protocol = self._admit(transport.getPeer(), quiet=True)
            else:
                protocol = self._admit(_address(header.source), via=self.peer)
        finally:
            if protocol is None:
                factory.admission.reserve()  # until the descriptor is closed
        if protocol is None:
            transport.loseConnection()
            return
        factory.awaiting_header.discard(self)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if self._parser.rest:
            protocol.dataReceived(self._parser.rest)

    def readConnectionLost(self) -> None:
        """Handle a FIN before the header. A connection without a byte is a check of the port alone."""
        if self._is_waiting and self._has_data:
            self._refuse("refused_no_proxy_header")
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: this side is never half-closed."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        factory = self._factory
        factory.awaiting_header.discard(self)
        factory.admission.release()
        try:
            if self._is_waiting:
                self._stop_waiting()
                if self._has_data:
                    factory.traffic.counters.refuse("refused_no_proxy_header", self.transport.getPeer().host)
                else:
                    factory.traffic.connection_closed(
                        self, BY_CLIENT if reason.check(ConnectionDone) else BY_CLIENT_RESET
                    )
        finally:
            factory.notify_if_empty()

    def _expire(self) -> None:
        """Refuse the connection, unless the header was in the receive queue while the process could not run."""
        self._deadline = self._clock.callLater(0, self._refuse, "refused_no_proxy_header")

    def _refuse(self, counter: str) -> None:
        self._stop_waiting()
        self._factory.traffic.counters.refuse(counter, self.transport.getPeer().host)
        self.transport.abortConnection()

    def _stop_waiting(self) -> None:
        self._is_waiting = False
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()


def _address(client: HostPort) -> IPv4Address | IPv6Address:
    family = IPv6Address if ":" in client.host else IPv4Address
    return family("TCP", client.host, client.port)
