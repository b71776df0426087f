"""Test services/proxied.py and quiet_echo.py: clients behind a proxy, and health checkers that leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer, provider

from echotime.counters import ServiceCounters
from echotime.limits.access import AccessList, Networks
from echotime.limits.admission import Admission, AdmissionLimits
from echotime.services.drain import Drain
from echotime.services.echo_factory import EchoFactory
from echotime.services.proxied import HEADER_TIMEOUT, ProxyHeaderProtocol, build_proxied
from echotime.services.quiet_echo import QuietEchoFactory
from echotime.services.replies import IReplySource
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import TrafficLog
from echotime.wire.hostport import HostPort
from echotime.wire.message import ACKNOWLEDGEMENT
from echotime.wire.proxy_header import make_local, make_v1, make_v2
from echotime.wire.template import Text
from tests.unit.test_echo import Abortable

PROXY = IPv4Address("TCP", "10.0.0.5", 40368)
CLIENT = HostPort("192.0.2.7", 1945)
SERVER = HostPort("10.0.0.9", 12345)
HEADERS = (make_v1(CLIENT, SERVER), make_v2(CLIENT, SERVER))


@implementer(IReplySource)
class Asked:
    """Record the questions, and reply at once."""

    def __init__(self) -> None:
        self.questions: list[tuple[bytes, str]] = []

    def reply_to(self, message: bytes, peer: IAddress) -> Text | Deferred[Text]:
        assert isinstance(peer, IPv4Address)
        self.questions.append((message, peer.host))
        return b"!"


class Transport(Abortable):
    """Hold the protocol that is in charge, as the real transport does."""

    protocol: Any


class Behind:
    """Hold a factory that has a proxy at 10.0.0.5, and a health checker at 10.0.0.6."""

    def __init__(self, limits: AdmissionLimits | None = None, access: AccessList | None = None) -> None:
        self.clock = Clock()
        self.traffic = TrafficLog(self.clock, 100)
        self.replies = Asked()
        admission = Admission(self.traffic.counters, access, limits)
        self.factory = EchoFactory(self.traffic, ACKNOWLEDGEMENT, self.replies, admission)
        self.factory.proxies = AccessList.only(Networks([ip_network("10.0.0.5")]))
        self.factory.quiet_networks = AccessList.only(Networks([ip_network("10.0.0.6")]))
        self.factory.build_proxied = partial(build_proxied, self.factory)
        self.factory.quiet_factory = QuietEchoFactory(self.factory)

    @property
    def counters(self) -> ServiceCounters:
        return self.factory.counters()

    def connect(self, address: IPv4Address = PROXY) -> Transport:
        """Accept a connection, and return its transport, whose `protocol` is the one in charge."""
        protocol = self.factory.buildProtocol(address)
        assert protocol is not None
        transport = Transport(peerAddress=address)
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return transport


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Collect the lines of the log."""
    found: list[str] = []

    @provider(ILogObserver)
    def note(event: LogEvent) -> None:
        found.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    yield found
    globalLogPublisher.removeObserver(note)


@pytest.fixture
def behind() -> Behind:
    """Provide a factory behind a proxy."""
    return Behind()


def feed(transport: Transport, data: bytes, size: int = 4096) -> None:
    """Deliver data in pieces of this size."""
    for at in range(0, len(data), size):
        transport.protocol.dataReceived(data[at : at + size])


@pytest.mark.parametrize("size", [1, 4096])
@pytest.mark.parametrize("header", HEADERS, ids=["v1", "v2"])
def test_client(behind: Behind, header: bytes, size: int) -> None:
    """The client that the header names is the peer, the source and the one who asks; the proxy stays visible."""
    transport = behind.connect()
    feed(transport, header, size)
    (connection,) = behind.factory.connections
    assert (connection.peer, connection.via, connection.source) == ("192.0.2.7:1945", "10.0.0.5:40368", "192.0.2.7")
    feed(transport, b"hello")
    assert transport.value() == b"hello" + ACKNOWLEDGEMENT + b"!"
    assert behind.replies.questions == [(b"hello", "192.0.2.7")]
    assert not behind.clock.getDelayedCalls() or connection.connected


def test_message_with_the_header(behind: Behind) -> None:
    """Bytes that follow the header in the same read are the first message."""
    transport = behind.connect()
    feed(transport, HEADERS[1] + b"hello")
    assert transport.value() == b"hello" + ACKNOWLEDGEMENT + b"!"


def test_lines(behind: Behind, logged: list[str]) -> None:
    """Beginning and end of a connection name the proxy."""
    transport = behind.connect()
    feed(transport, HEADERS[0] + b"x")
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert [line for line in logged if line.startswith("connection")] == [
        "connection from 192.0.2.7:1945 via 10.0.0.5:40368",
        "connection from 192.0.2.7:1945 via 10.0.0.5:40368 ended by server, 1 bytes in, 13 bytes out",
    ]


@pytest.mark.parametrize("header", [make_local(), b"PROXY UNKNOWN\r\n"])
def test_proxy_itself(behind: Behind, header: bytes, logged: list[str]) -> None:
    """A connection of the proxy itself is answered at once, leaves no line, and is counted apart."""
    transport = behind.connect()
    feed(transport, header + b"ping")
    assert transport.value() == b"ping" + ACKNOWLEDGEMENT
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert (logged, behind.replies.questions) == ([], [])
    assert (behind.counters.quiet_connections, behind.counters.connections, behind.counters.messages) == (1, 0, 0)


@pytest.mark.parametrize("header", [make_local(), b"PROXY UNKNOWN\r\n"])
def test_not_ready(behind: Behind, header: bytes) -> None:
    """While the daemon is leaving, checks are refused, and clients are served."""
    behind.factory.is_ready = lambda: False
    assert behind.factory.buildProtocol(IPv4Address("TCP", "10.0.0.6", 1)) is None
    checked = behind.connect()
    feed(checked, header + b"x")
    assert (checked.value(), checked.disconnecting) == (b"", True)
    client = behind.connect()
    feed(client, HEADERS[0] + b"x")
    assert client.value().startswith(b"x")


def test_quiet_network(behind: Behind, logged: list[str]) -> None:
    """A connection of --quiet is served without a header, and counts for the limits."""
    transport = behind.connect(IPv4Address("TCP", "10.0.0.6", 1))
    feed(transport, b"ping")
    assert transport.value() == b"ping" + ACKNOWLEDGEMENT
    assert behind.factory.admission.count == len(behind.factory.connections) == 1
    assert behind.counters.messages == 0
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert (logged, behind.counters.quiet_connections, behind.factory.admission.count) == ([], 1, 0)


def test_quiet_client_of_a_proxy(behind: Behind, logged: list[str]) -> None:
    """--quiet applies to the client that a header names."""
    transport = behind.connect()
    feed(transport, make_v2(HostPort("10.0.0.6", 7), SERVER) + b"ping")
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert (logged, behind.counters.quiet_connections) == ([], 1)


def test_others_need_no_header(behind: Behind) -> None:
    """A header from any other network is a message."""
    transport = behind.connect(IPv4Address("TCP", "10.0.0.7", 1))
    feed(transport, HEADERS[0])
    assert transport.value().startswith(HEADERS[0])


@pytest.mark.parametrize(
    ("data", "counter"),
    [
        (b"hello", "refused_no_proxy_header"),
        (b"PROXY TCP4 nonsense\r\n", "refused_proxy_header"),
        (make_v2(CLIENT, SERVER)[:12] + b"\x31\x11\x00\x0c", "refused_proxy_header"),
    ],
)
def test_faults(behind: Behind, data: bytes, counter: str) -> None:
    """A missing or malformed header ends the connection with a reset, and is counted by its reason."""
    transport = behind.connect()
    feed(transport, data, 3)
    assert transport.aborted
    assert transport.value() == b""
    assert getattr(behind.counters, counter) == 1
    assert behind.traffic.counters.last_refused[counter] == "10.0.0.5"
    assert not behind.clock.getDelayedCalls()
    transport.protocol.connectionLost(Failure(ConnectionAborted()))
    assert not behind.factory.awaiting_header
    assert behind.factory.admission._reserved == 0


@pytest.mark.parametrize("part", [b"", HEADERS[0][:10]])
def test_deadline(behind: Behind, part: bytes) -> None:
    """A header that is not complete in time ends the connection with a reset."""
    transport = behind.connect()
    feed(transport, part)
    behind.clock.advance(HEADER_TIMEOUT - 0.1)
    assert not transport.aborted
    behind.clock.advance(0.1)
    assert transport.aborted
    assert behind.counters.refused_no_proxy_header == 1


def test_end_before_the_header(behind: Behind) -> None:
    """A connection without a byte is a check of the port alone, and one that ends within the header is refused."""
    for part, refused in ((b"", 0), (HEADERS[1][:20], 1)):
        transport = behind.connect()
        feed(transport, part)
        protocol = transport.protocol
        assert isinstance(protocol, ProxyHeaderProtocol)
        protocol.readConnectionLost()
        assert (transport.aborted, transport.disconnecting) == (bool(refused), not refused)
        protocol.connectionLost(Failure(ConnectionDone()))
        assert behind.counters.refused_no_proxy_header == refused
        assert behind.counters.empty_connections == 1
    assert not behind.clock.getDelayedCalls()


@pytest.mark.parametrize(("part", "counted"), [(b"", (1, 1, 0)), (b"PRO", (0, 0, 1))])
@pytest.mark.parametrize("reason", [ConnectionDone, ConnectionLost])
def test_counted_ends(behind: Behind, part: bytes, counted: tuple[int, int, int], reason: type[Exception]) -> None:
    """A connection that ends before its header counts once: as empty without a byte, otherwise as refused."""
    transport = behind.connect()
    feed(transport, part)
    transport.protocol.connectionLost(Failure(reason()))
    counters = behind.counters
    assert (counters.connections, counters.empty_connections, counters.refused_no_proxy_header) == counted
    assert behind.factory.admission._reserved == 0
    assert not behind.clock.getDelayedCalls()


def test_refused_holds_its_place() -> None:
    """A refused connection counts until its descriptor is closed."""
    behind = Behind(AdmissionLimits(1, 1, 1))
    refused = [behind.connect() for _ in range(2)]
    for each in refused:
        feed(each, b"garbage")
    assert behind.factory.buildProtocol(PROXY) is None
    for each in refused:
        each.protocol.connectionLost(Failure(ConnectionAborted()))
    assert behind.factory.buildProtocol(PROXY) is not None


def test_failure_to_admit(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception while the client is admitted leaves no reservation, and lets a drain end."""
    monkeypatch.setattr(behind.factory, "admit", None)
    transport = behind.connect()
    drained: list[None] = []
    behind.factory.when_empty().addCallback(drained.append)
    with pytest.raises(TypeError):
        feed(transport, HEADERS[0])
    transport.protocol.connectionLost(Failure(ConnectionLost()))
    assert (drained, behind.factory.admission._reserved) == ([None], 0)


def test_header_during_a_drain(behind: Behind) -> None:
    """A client whose header arrives during a drain is served; the drain waits for it."""
    transport = behind.connect()
    drained: list[None] = []
    behind.factory.when_empty().addCallback(drained.append)
    feed(transport, HEADERS[0] + b"hello")
    assert (drained, transport.value()) == ([], b"hello" + ACKNOWLEDGEMENT + b"!")
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert drained == [None]


def test_access() -> None:
    """Access lists decide on the client, and on the proxy where it speaks for itself."""
    behind = Behind(access=AccessList(Networks([ip_network("192.0.2.0/24")]), Networks([ip_network("192.0.2.9")])))
    for data, served in (
        (HEADERS[0], True),
        (make_v1(HostPort("192.0.2.9", 1), SERVER), False),
        (make_local(), False),
    ):
        transport = behind.connect()
        feed(transport, data + b"x")
        assert bool(transport.value()) is served
        assert transport.disconnecting is not served
    assert behind.counters.refused_connections == 2


def test_limit_per_source() -> None:
    """Each client behind the proxy is a source of its own."""
    behind = Behind(AdmissionLimits(10, 1, 10))
    for host, served in (("192.0.2.1", True), ("192.0.2.2", True), ("192.0.2.1", False)):
        transport = behind.connect()
        feed(transport, make_v2(HostPort(host, 1), SERVER) + b"x")
        assert bool(transport.value()) is served


def test_connection_limit() -> None:
    """Connections that wait for a header are bounded, also while others hold their places, and give them back."""
    behind = Behind(AdmissionLimits(2, 2, 1))
    waiting = [behind.connect() for _ in range(3)]
    assert behind.factory.buildProtocol(PROXY) is None
    assert behind.factory.buildProtocol(IPv4Address("TCP", "10.0.0.7", 1)) is None
    assert behind.counters.refused_connection_limit == 2
    for number, transport in enumerate(waiting):
        feed(transport, make_v2(HostPort(f"192.0.2.{number}", 1), SERVER) + b"x")
    assert [bool(each.value()) for each in waiting] == [True, True, True]
    assert (behind.counters.evicted, behind.factory.admission.count) == (1, 2)


def test_drain(behind: Behind) -> None:
    """A drain waits for a connection without its header, at most until the drain timeout."""
    transport = behind.connect()
    drained: list[None] = []
    drain = Drain(behind.factory, behind.clock, 2)
    drain.start().addCallback(drained.append)
    assert not drained
    drain.abort()
    assert transport.aborted
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert drained == [None]


def test_reset_by_the_daemon(behind: Behind) -> None:
    """Protocols of clients are echo protocols, so all that applies to these applies to them."""
    transport = behind.connect()
    feed(transport, HEADERS[0])
    assert isinstance(transport.protocol, EchoProtocol)
