"""ProxyHeaderProtocol: read the PROXY header of a connection from a load balancer, then serve the client it names.

The format is that of HAProxy's proxy-protocol.txt, versions 1 and 2 (wire.proxy_header).
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.services.echo_factory import EchoFactory
from echotime.wire.hostport import HostPort, format_hostport
from echotime.wire.proxy_header import ProxyHeader, ProxyHeaderFault, ProxyHeaderParser

HEADER_TIMEOUT = 3.0
"""Seconds in which the header must be complete."""


def build_proxied(factory: EchoFactory, addr: Any) -> ProxyHeaderProtocol | None:
    """Return a protocol that reads the header of a connection from a proxy, None at the connection limit.

    Until the client is known, the connection counts for the connection limit and for `EchoFactory.when_empty`.
    """
    return ProxyHeaderProtocol(factory) if factory.admission.try_reserve(addr.host) else None


@implementer(IHalfCloseableProtocol)
class ProxyHeaderProtocol(Protocol):
    """Read the header, and hand the transport over to the protocol of the client. Reset it for anything else."""

    transport: Any

    def __init__(self, factory: EchoFactory) -> None:
        self._factory = factory
        self._parser = ProxyHeaderParser()
        self._has_data = False
        self._deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._factory.awaiting_header.add(self)
        self._deadline = self._factory.traffic.clock.callLater(HEADER_TIMEOUT, self._refuse, "refused_no_proxy_header")

    def dataReceived(self, data: bytes) -> None:
        """Read the header. The bytes that follow it are the client's first message."""
        self._has_data = True
        try:
            header = self._parser.feed(data)
        except ProxyHeaderFault as fault:
            self._refuse("refused_no_proxy_header" if fault.missing else "refused_proxy_header")
        else:
            if header is not None:
                self._serve(header)

    def _serve(self, header: ProxyHeader) -> None:
        transport, proxy = self.transport, self.transport.getPeer()
        self._release()
        if header.source is None:  # the proxy speaks for itself
            protocol = self._factory.admit(proxy, quiet=True)
        else:
            protocol = self._factory.admit(_address(header.source), via=format_hostport(proxy.host, proxy.port))
        self._factory.notify_if_empty()
        if protocol is None:
            transport.loseConnection()
            return
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if self._parser.rest:
            protocol.dataReceived(self._parser.rest)

    def readConnectionLost(self) -> None:
        """Handle a FIN before the header. A connection without a byte is a check of the port alone."""
        if self._has_data:
            self._refuse("refused_no_proxy_header")
        else:
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: this side is never half-closed."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._release():
            if reason.check(ConnectionDone) and not self._has_data:
                self._factory.traffic.counters.connections += 1
                self._factory.traffic.counters.empty_connections += 1
            self._factory.notify_if_empty()

    def _refuse(self, counter: str) -> None:
        if self._release():
            self._factory.traffic.counters.refuse(counter, self.transport.getPeer().host)
            self.transport.abortConnection()
            self._factory.notify_if_empty()

    def _release(self) -> bool:
        """Stop waiting. Return False if the connection did not wait any more."""
        if self not in self._factory.awaiting_header:
            return False
        self._factory.awaiting_header.discard(self)
        self._factory.admission.release_reserved()
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        return True


def _address(client: HostPort) -> IPv4Address | IPv6Address:
    family = IPv6Address if ":" in client.host else IPv4Address
    return family("TCP", client.host, client.port)
