"""Test the TCP behaviors without sockets: order, backpressure, memory, the end of the connection, and probabilities."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any, cast
from unittest.mock import patch

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

import echotime
from echotime.behave.kinds import TCP_KINDS, parse_behavior
from echotime.behave.tcp.behavior import TCPBehavior
from echotime.behave.tcp.context import MAX_ENDED, EndedConnection, EndedConnections
from echotime.behave.tcp.factory import BehavingFactory
from echotime.behave.tcp.interposer import MAX_HELD
from echotime.behave.tcp.latency import MAX_ANSWERS, Latency
from echotime.behave.tcp.timeout import HOLD_TIME
from echotime.control.commands import CommandError
from echotime.daemon.ports.behave_service import BehaveService
from echotime.daemon.ports.listeners import Listeners
from echotime.limits.access import AccessList, Networks
from echotime.limits.admission import AdmissionLimits
from echotime.services.drain import QUIET_INTERVAL, Drain
from echotime.services.echo_factory import EchoFactory
from echotime.services.tcp_echo import CLOSE_TIMEOUT
from echotime.services.timeouts import TimeoutMonitor, Timeouts
from echotime.services.traffic import TrafficLog
from echotime.wire.hostport import HostPort
from echotime.wire.message import ACKNOWLEDGEMENT as ACK
from echotime.wire.proxy_header import make_v1

PEER = IPv4Address("TCP", "192.0.2.7", 1945)
BUFFERING = ("latency:delay=60", "bandwidth:rate=10", "slicer:size=1,gap=60", "trickle:gap=60")
"""Behaviors that hold answers back, for longer than a test."""
PENDING = (*BUFFERING, "late_reply:delay=60", "timeout", "timeout:after=60", "reset_peer:after=60", "no_read")


DISCARDING = ("half_close_first", "close_first", "limit_data:bytes=3", "client")
"""Behaviors that send a FIN and discard what the client sends after it."""


class Transport(StringTransport):
    """Record the end of the output, and let the test end the connection."""

    output_ended = aborted = False
    protocol: Any

    def __init__(self, peer: IPv4Address = PEER) -> None:
        super().__init__(IPv4Address("TCP", "192.0.2.1", 7001), peer)

    def loseWriteConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.output_ended = True

    def abortConnection(self) -> None:
        self.aborted = True

    def unregisterProducer(self) -> None:
        self.producer = self.streaming = None

    def unsent_bytes(self) -> int:
        return 0

    unacked_bytes = unsent_bytes

    def saved_syn(self) -> bytes:
        raise OSError

    received_ttl = segment_size = saved_syn

    @property
    def ended(self) -> bool:
        """Return True if the connection is to be closed or reset."""
        return self.disconnecting or self.aborted


class Listener:
    """Make connections to a listener with a behavior."""

    def __init__(self, behavior: str, **limits: int) -> None:
        self.clock = Clock()
        self.service = EchoFactory(TrafficLog(self.clock, 0))
        self.service.admission.set_limits(AccessList(), AdmissionLimits(**limits))
        self.ended = EndedConnections()
        self.factory = BehavingFactory(self.service, parse_behavior(behavior), self.ended)

    def connect(self, peer: IPv4Address = PEER) -> tuple[Any, Transport]:
        """Return the protocol of a new connection as its transport sees it, and the transport."""
        transport = Transport(peer)
        transport.protocol = self.factory.buildProtocol(peer)
        assert transport.protocol is not None
        transport.protocol.makeConnection(transport)
        return transport.protocol, transport


def test_kinds_of_an_ordinary_listener() -> None:
    """A behavior without an override answers as an ordinary EchoProtocol, also after the client's FIN."""
    protocol, transport = Listener("echo").connect()
    protocol.dataReceived(b"hello")
    assert (transport.value(), transport.ended) == (b"hello" + ACK, False)
    protocol.readConnectionLost()
    assert transport.disconnecting


def test_latency() -> None:
    """Each answer comes after its delay, and the end after the last answer."""
    listener = Listener("latency:delay=2")
    protocol, transport = listener.connect()
    protocol.dataReceived(b"a")
    listener.clock.advance(1)
    protocol.dataReceived(b"b")
    protocol.readConnectionLost()
    listener.clock.advance(1)
    assert (transport.value(), transport.ended) == (b"a" + ACK, False)
    listener.clock.advance(1)
    assert (transport.value(), transport.ended) == (b"a" + ACK + b"b" + ACK, True)


def test_jitter_keeps_the_order() -> None:
    """Answers with random delays stay in order, none is lost, and the same seed gives the same delays."""
    arrivals = []
    for _ in range(2):
        listener = Listener("latency:delay=1,jitter=1,seed=5")
        protocol, transport = listener.connect()
        sizes = []
        for number in range(MAX_ANSWERS * 2):
            protocol.dataReceived(b"%d," % number)
            listener.clock.advance(0.01)
            sizes.append(len(transport.value()))
        listener.clock.pump([0.1] * 30)
        assert transport.value() == b"".join(b"%d," % number + ACK for number in range(MAX_ANSWERS * 2))
        arrivals.append(sizes)
    assert arrivals[0] == arrivals[1]


@pytest.mark.parametrize("behavior", BUFFERING)
def test_what_is_held_back_is_bounded(behavior: str) -> None:
    """A client that sends and does not wait is not read any more when 64 KiB are held back."""
    protocol, transport = Listener(behavior).connect()
    sent = 0
    while transport.producerState == "producing":
        protocol.dataReceived(b"x" * 4096)
        sent += 4096
        assert sent < 2 * MAX_HELD
    assert MAX_HELD <= protocol.unsent_bytes() <= MAX_HELD + 4096 + len(ACK)


def test_tiny_answers_are_few_objects() -> None:
    """Answers of a few bytes do not make a queue of thousands of entries, nor timers."""
    listener = Listener("latency:delay=60")
    protocol, transport = listener.connect()
    assert isinstance(protocol, Latency)
    while transport.producerState == "producing":
        protocol.dataReceived(b"x")
    assert len(protocol._answers) == MAX_ANSWERS
    assert len(listener.clock.getDelayedCalls()) == 1
    size = protocol.unsent_bytes()
    listener.clock.advance(60)
    listener.clock.pump([0] * MAX_ANSWERS)
    assert (len(transport.value()), transport.producerState) == (size, "producing")


def test_backpressure_of_the_transport() -> None:
    """A transport whose buffer is full stops reading, and reading resumes when both have room."""
    listener = Listener("latency:delay=1")
    _protocol, transport = listener.connect()
    assert transport.producer is not None
    transport.producer.pauseProducing()
    assert transport.producerState == "paused"
    transport.producer.resumeProducing()
    assert transport.producerState == "producing"


@pytest.mark.parametrize("behavior", PENDING)
@pytest.mark.parametrize("event", ["lost", "reset", "eviction"])
def test_nothing_is_left_behind(behavior: str, event: str) -> None:
    """The end of a connection, however it comes, leaves no timer and no slot, with anything pending."""
    listener = Listener(behavior)
    protocol, transport = listener.connect()
    protocol.dataReceived(b"hello")
    if event != "lost":
        protocol.echo.reset(event)
        assert transport.aborted
    protocol.connectionLost(Failure(ConnectionLost()))
    assert (listener.clock.getDelayedCalls(), listener.service.connections) == ([], set())
    assert listener.service.admission.count == 0


@pytest.mark.parametrize("behavior", PENDING)
def test_drain(behavior: str) -> None:
    """A drain ends every connection at its time limit, if not before."""
    listener = Listener(behavior)
    protocol, transport = listener.connect()
    protocol.dataReceived(b"hello")
    done: list[None] = []
    Drain(listener.service, listener.clock, 5).start().addCallback(done.append)
    for _ in range(60):
        listener.clock.advance(0.1)
        if transport.ended and listener.service.connections:
            protocol.connectionLost(Failure(ConnectionDone()))
    assert done == [None]
    assert listener.clock.getDelayedCalls() == []


@pytest.mark.parametrize("behavior", [*BUFFERING, "late_reply:delay=60"])
def test_closed_client_is_not_read(behavior: str) -> None:
    """A client whose connection an operator closes is not read any more, while an answer is held back."""
    listener = Listener(behavior)
    protocol, transport = listener.connect()
    protocol.dataReceived(b"hello")
    protocol.echo.close("operator")
    for seconds in (0, CLOSE_TIMEOUT - 1):
        listener.clock.advance(seconds)
        assert (transport.producerState, transport.ended) == ("paused", False)
    listener.clock.advance(1)
    assert transport.aborted


@pytest.mark.parametrize("behavior", DISCARDING)
def test_drain_of_a_half_closed_client(behavior: str) -> None:
    """A drain closes a client that got the FIN of its behavior and is quiet, and waits for one that still sends."""
    listener = Listener(behavior)
    protocol, transport = listener.connect()
    protocol.dataReceived(b"hello\n")
    assert transport.output_ended
    listener.clock.advance(1)
    Drain(listener.service, listener.clock, 60).start()
    for _ in range(10):
        listener.clock.advance(QUIET_INTERVAL / 2)
        protocol.dataReceived(b"discarded")
        listener.clock.advance(QUIET_INTERVAL / 2)
        assert not transport.ended
    # as tcp.Connection does after a half-close
    with patch.object(transport, "loseConnection", lambda: protocol.connectionLost(Failure(ConnectionDone()))):
        listener.clock.advance(QUIET_INTERVAL)
    assert (protocol.echo.ended_by, listener.service.connections) == ("server", set())
    assert listener.clock.getDelayedCalls() == []


def test_idle_timeout_of_a_half_closed_client() -> None:
    """A client that sends after the FIN of its behavior is not idle, and has not half-closed."""
    listener = Listener("half_close_first")
    protocol, transport = listener.connect()
    monitor = TimeoutMonitor(listener.service, listener.clock, Timeouts(idle=2, half_closed=1))
    monitor.start()
    for _ in range(5):
        listener.clock.pump([0.5, 0.5])
        protocol.dataReceived(b"discarded")
        assert not transport.ended
    listener.clock.pump([0.5] * 5)
    assert (transport.disconnecting, protocol.echo.ended_by) == (True, "idle timeout")
    monitor.stop()


def test_eviction() -> None:
    """A connection that is held by its behavior is evicted like any other."""
    listener = Listener("timeout", max_connections=1)
    _protocol, transport = listener.connect()
    listener.clock.advance(1)
    listener.connect(IPv4Address("TCP", "198.51.100.1", 1))
    assert transport.aborted


@pytest.mark.parametrize(
    ("behavior", "received", "sent"),
    [
        ("limit_data:bytes=3", b"hello", b"hel"),
        ("limit_data:bytes=0", b"hello", b""),
        ("close_first", b"hello", b""),
    ],
)
def test_early_end(behavior: str, received: bytes, sent: bytes) -> None:
    """A FIN comes early. What follows is discarded until the client's FIN, or for a time."""
    for client_ends in (True, False):
        listener = Listener(behavior)
        protocol, transport = listener.connect()
        protocol.dataReceived(received)
        protocol.dataReceived(b"discarded")
        assert (transport.value(), transport.output_ended, transport.ended) == (sent, True, False)
        assert (protocol.echo.messages <= 1, protocol.echo.ended_by) == (True, f"behavior {protocol.name}")
        if client_ends:
            protocol.readConnectionLost()
        else:
            listener.clock.advance(CLOSE_TIMEOUT)
        assert transport.ended
        protocol.connectionLost(Failure(ConnectionDone()))
        assert (listener.service.traffic.counters.bytes_out, listener.clock.getDelayedCalls()) == (len(sent), [])


def test_timeout_holds_a_closed_client_for_a_time() -> None:
    """A client that has closed its socket holds its slot for a bounded time."""
    listener = Listener("timeout")
    protocol, transport = listener.connect()
    protocol.dataReceived(b"hello")
    protocol.readConnectionLost()
    listener.clock.advance(HOLD_TIME - 1)
    assert (transport.value(), transport.ended) == (b"", False)
    listener.clock.advance(1)
    assert transport.aborted


def test_late_reply_reads_nothing_meanwhile() -> None:
    """Between the echo and what follows it the client is not read, as while a reply is awaited."""
    listener = Listener("late_reply:delay=3")
    protocol, transport = listener.connect()
    protocol.dataReceived(b"hello")
    assert (transport.value(), transport.producerState) == (b"hello", "paused")
    listener.clock.advance(3)
    assert (transport.value(), transport.producerState) == (b"hello" + ACK, "producing")


def test_new_behavior_is_for_new_connections() -> None:
    """A connection keeps the behavior that it began with."""
    listener = Listener("corrupt")
    protocol, transport = listener.connect()
    listener.factory.set_behavior(parse_behavior("echo"))
    protocol.dataReceived(b"\x00")
    assert transport.value() == b"\xff" + ACK
    protocol, transport = listener.connect()
    protocol.dataReceived(b"\x00")
    assert transport.value() == b"\x00" + ACK


def test_probability() -> None:
    """The share of connections is that of the probability, and a seed gives the same ones again."""
    runs = []
    for _ in range(2):
        listener = Listener("close_first:probability=0.25,seed=3")
        runs.append([listener.connect()[0].name for _ in range(1000)])
    assert runs[0] == runs[1]
    assert 200 < runs[0].count("close_first") < 300
    assert set(runs[0]) == {"close_first", "echo"}


def test_every_choice() -> None:
    """A client can choose every kind but those of a listener, and what comes with the line is the first message."""
    for kind in TCP_KINDS:
        listener = Listener("client")
        protocol, transport = listener.connect()
        protocol.dataReceived(kind.encode() + b"\nhello")
        refused = kind in {"client", "no_accept"}
        assert transport.value().startswith(b"error: ") == refused, kind
        assert (transport.protocol.name, transport.output_ended) == ("client", True) or not refused
        if not refused:
            assert isinstance(transport.protocol, TCPBehavior)
            assert transport.protocol.name == kind
        transport.protocol.connectionLost(Failure(ConnectionDone()))
        assert (listener.clock.getDelayedCalls(), listener.service.connections) == ([], set())


def test_line_in_pieces() -> None:
    """The line may come byte by byte, is no message, and does not count as one."""
    listener = Listener("client")
    protocol, transport = listener.connect()
    for each in b"echo:id=00c0ffee\r\nhi":
        transport.protocol.dataReceived(bytes([each]))
    assert transport.value() == b"h" + ACK + b"i" + ACK
    assert (protocol.echo.messages, protocol.echo.bytes_in) == (2, 2)
    assert listener.ended.get("00c0ffee") is None
    transport.protocol.connectionLost(Failure(ConnectionLost()))
    assert listener.ended.get("00c0ffee") == EndedConnection("client's reset", 2, 2 + 2 * len(ACK))


def test_ended_connections_are_bounded() -> None:
    """Only the last ones are remembered, and an id that is used again counts as new."""
    ended = EndedConnections()
    for number in range(MAX_ENDED):
        ended.add(f"{number:08x}", EndedConnection("client", number, 0))
    ended.add("00000000", EndedConnection("server", 0, 0))
    ended.add("ffffffff", EndedConnection("client", 0, 0))
    assert ended.get("00000001") is None
    assert ended.get("00000000") == EndedConnection("server", 0, 0)
    assert len(ended._by_id) == MAX_ENDED


@pytest.mark.parametrize("behavior", ["report", "client"])
def test_behind_a_proxy(behavior: str) -> None:
    """The client that a PROXY header names is in the report, and the line that chooses may come with the header."""
    listener = Listener(behavior)
    listener.service.proxies = AccessList.only(Networks([ip_network(PEER.host)]))
    _protocol, transport = listener.connect()
    header = make_v1(HostPort("198.51.100.1", 4711), HostPort("192.0.2.1", 7001))
    transport.protocol.dataReceived(header + b"report\n" * (behavior == "client") + b"m")
    report, rest = transport.value().split(b"\n", 1)
    assert json.loads(report) == {
        "echotime": echotime.__version__,
        "connection": 1,
        "peer": "198.51.100.1:4711",
        "via": "192.0.2.7:1945",
        "server": "192.0.2.1:7001",
        **dict.fromkeys(("ttl", "syn", "mss")),
    }
    assert rest == b"m" + ACK


def test_no_change_while_stopping() -> None:
    """A daemon that stops opens no listener, because nothing would close it."""
    listener = Listener("echo")
    service = BehaveService(
        [], listener.service, cast(Any, None), Listeners([], []), lambda: ({}, {}), lambda reason: None
    )
    assert service.change([]) == []
    with pytest.raises(CommandError, match="the daemon is stopping"):
        service.change(["0=echo"])
