"""Test client/udp_request.py, time.py and probers.py against servers on loopback, on a reactor that the test steps."""

from __future__ import annotations

import errno
import re
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from echotime.client import time as client_time
from echotime.client.connect import ATTEMPT_DELAY
from echotime.client.deadline import Deadline
from echotime.client.echo_failure import EchoFailure
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.probe_message import Message
from echotime.client.probers import ConnectProber, TcpProber, UdpProber
from echotime.client.time import TimeClient, decode_response
from echotime.client.udp_request import UDPRequest, UDPResponse
from echotime.sockopt.assignment import parse
from echotime.wire import timestamp
from echotime.wire.timestamp import Epoch
from echotime.wire.verify import Cause
from tests.support.checked_listeners import Daemon
from tests.support.loopback import get
from tests.support.recording_protocol import PortHarness
from tests.support.stepping_reactor import SteppingEPollReactor


class Server:
    """Answer datagrams when the test says so."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        self.address = ResolvedAddress(self.sock.family, host, self.sock.getsockname()[1])

    def requests(self) -> list[Any]:
        """Return the senders of the requests that have arrived since the last call."""
        found = []
        while True:
            try:
                found.append(self.sock.recvfrom(100)[1])
            except BlockingIOError:
                return found


@pytest.fixture
def servers() -> Iterator[Callable[[], Server]]:
    """Provide a function that makes servers, which are closed after the test."""
    made: list[Server] = []

    def make(host: str = "127.0.0.1") -> Server:
        made.append(Server(host))
        return made[-1]

    yield make
    for each in made:
        each.sock.close()


class Handler:
    """Record what happens to a request."""

    def __init__(self) -> None:
        self.events: list[tuple[object, ...]] = []
        self.responses: list[UDPResponse] = []

    def response_received(self, request: UDPRequest, response: UDPResponse) -> None:
        self.responses.append(response)

    def unexpected_sender(self, request: UDPRequest, address: str) -> None:
        self.events.append((request, address))

    def request_failed(self, request: UDPRequest, error_number: int) -> None:
        self.events.append((request, error_number))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_request(stepped: SteppingEPollReactor, servers: Callable[..., Server], host: str) -> None:
    """Responses from the requested address are given with their times, others are named, and none after close."""
    server, other, handler = servers(host), servers(host), Handler()
    sockopts = [parse(each) for each in ("IP_TTL=9", "IPV6_UNICAST_HOPS=9", "TCP_NODELAY=on")]
    request = UDPRequest(stepped, server.address, handler, sockopts)
    request.send(b"x")
    assert get(request._port.socket, "IPV6_UNICAST_HOPS" if ":" in host else "IP_TTL") == 9
    (client,) = server.requests()
    client = (host, client[1])
    other.sock.sendto(b"wrong", client)
    server.sock.sendto(b"abcd", client)
    server.sock.sendto(bytes(60_000), client)
    stepped.until(lambda: len(handler.responses) == 2)
    assert [len(each.datagram) for each in handler.responses] == [4, 60_000]
    assert 0 < handler.responses[0].round_trip < 60
    assert handler.responses[0].received_at > 1_700_000_000
    assert handler.events == [(request, str(other.address.hostport))]
    server.sock.sendto(b"late", client)
    request.close()
    request.datagramReceived(b"late", server.address.hostport.sockaddr())
    request.network_error(errno.EIO)
    request.close()
    stepped.step(5)
    assert (len(handler.responses), len(handler.events)) == (2, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_icmp_errors(stepped: SteppingEPollReactor, servers: Callable[..., Server], host: str) -> None:
    """An ICMP error is reported by its errno, and the socket stays open for a response."""
    server, handler = servers(host), Handler()
    request = UDPRequest(stepped, server.address, handler)
    server.sock.close()
    request.send()
    stepped.until(lambda: handler.events)
    assert handler.events == [(request, errno.ECONNREFUSED)]
    request._port.socket.sendto(b"", server.address.hostport.sockaddr())
    request._port.doRead()
    assert handler.events == [(request, errno.ECONNREFUSED)] * 2
    assert not handler.responses
    request.close()
    request._port.doRead()
    stepped.step(5)


def test_unsendable(stepped: SteppingEPollReactor, servers: Callable[..., Server]) -> None:
    """A request that cannot be sent is closed, and names the error or the option."""
    broadcast = ResolvedAddress(socket.AF_INET, "255.255.255.255", 9)
    request = UDPRequest(stepped, broadcast, Handler())
    with pytest.raises(ClientError) as found:
        request.send()
    assert found.value in {ClientError.from_errno(errno.EACCES), ClientError.from_errno(errno.ENETUNREACH)}
    stepped.step(5)
    assert not request._port.connected
    with pytest.raises(ClientError) as found:
        UDPRequest(stepped, servers().address, Handler(), [parse("SO_BINDTODEVICE=none-such")]).send()
    assert found.value.status is ExitStatus.FAILED
    assert "SO_BINDTODEVICE" in found.value.detail


def query(reactor: Any, client: TimeClient, seconds: float = 10) -> list[Any]:
    """Start a query; return a list to which its result is added."""
    results: list[Any] = []
    Deferred.fromCoroutine(client.query(Deadline(reactor, seconds))).addBoth(results.append)
    return results


def ends(reactor: SteppingEPollReactor) -> None:
    """Check that no timer and no socket is left in the reactor."""
    reactor.step(3)
    assert reactor.clock.getDelayedCalls() == []
    assert not set(reactor.getReaders()) - set(reactor._internalReaders)


def test_time_repeats(stepped: SteppingEPollReactor, servers: Callable[..., Server]) -> None:
    """A request is repeated `tries` times at the interval, and a late response to the first still counts."""
    server, other = servers(), servers()
    client = TimeClient(stepped, [server.address], tries=3, interval=1)
    results = query(stepped, client)
    (first,) = server.requests()
    stepped.clock.advance(0.9)
    assert server.requests() == []
    stepped.clock.advance(0.1)
    assert len(server.requests()) == 1
    stepped.clock.pump([1] * 4)
    assert len(server.requests()) == 1
    for _ in range(2):
        other.sock.sendto(b"wrong", first)
    servers().sock.sendto(b"wrong", first)
    server.sock.sendto(timestamp.pack(5), first)
    stepped.until(lambda: results)
    ((address, response),) = results
    assert address == server.address
    assert decode_response(response, Epoch.UNIX).seconds % 2**32 == 5
    assert (client.unexpected_count, client.first_unexpected) == (3, str(other.address.hostport))
    ends(stepped)


def test_time_first_response_counts(stepped: SteppingEPollReactor, servers: Callable[..., Server]) -> None:
    """A second response in the same turn of the reactor changes nothing."""
    server = servers()
    results = query(stepped, TimeClient(stepped, [server.address], tries=1, interval=1))
    (sender,) = server.requests()
    server.sock.sendto(b"1111", sender)
    server.sock.sendto(b"2222", sender)
    stepped.until(lambda: results)
    assert results[0][1].datagram == b"1111"
    ends(stepped)


def test_time_unanswered(stepped: SteppingEPollReactor, servers: Callable[..., Server]) -> None:
    """Without a response the query ends at the deadline."""
    results = query(stepped, TimeClient(stepped, [servers().address], tries=100, interval=0.01), seconds=5)
    stepped.clock.pump([0.01] * 499)
    assert not results
    readers = set(stepped.getReaders()) - set(stepped._internalReaders)
    assert len(readers) == client_time._MAX_PENDING
    stepped.clock.advance(0.02)
    assert isinstance(results[0], Failure)
    assert results[0].value == ClientError(ExitStatus.NO_ANSWER, "no answer to 100 requests, 0.01 s each")
    ends(stepped)


def test_time_of_several_addresses(stepped: SteppingEPollReactor, servers: Callable[..., Server]) -> None:
    """Addresses follow each other at the delay of connection attempts, and all again after the interval."""
    made = [servers(), servers()]
    results = query(stepped, TimeClient(stepped, [each.address for each in made], tries=2, interval=1))
    seen = []
    for _ in range(12):
        seen.append([len(each.requests()) for each in made])
        stepped.clock.advance(ATTEMPT_DELAY / 2)
    expected = [[0, 0]] * 12
    expected[0], expected[2], expected[8], expected[10] = [1, 0], [0, 1], [1, 0], [0, 1]
    assert seen == expected
    stepped.clock.advance(10)
    assert isinstance(results[0], Failure)
    ends(stepped)


def test_time_interval_below_the_delay(stepped: SteppingEPollReactor, servers: Callable[..., Server]) -> None:
    """With several addresses a round lasts at least the delay for each."""
    made = [servers(), servers()]
    query(stepped, TimeClient(stepped, [each.address for each in made], tries=2, interval=0))
    stepped.clock.pump([ATTEMPT_DELAY] * 2)
    assert [len(each.requests()) for each in made] == [2, 1]
    stepped.clock.advance(10)
    ends(stepped)


def test_time_refused(stepped: SteppingEPollReactor, servers: Callable[..., Server]) -> None:
    """A refused request gives way to the next address at once, and the last error ends the query."""
    gone, server = servers(), servers()
    gone.sock.close()
    results = query(stepped, TimeClient(stepped, [gone.address, server.address], tries=5, interval=1))
    stepped.until(lambda: select.select([server.sock], [], [], 0)[0])  # the clock stands still
    server.sock.sendto(b"1111", server.requests()[0])
    stepped.until(lambda: results)
    assert results[0][0] == server.address
    ends(stepped)
    server.sock.close()
    results = query(stepped, TimeClient(stepped, [gone.address, server.address], tries=5, interval=1))
    stepped.until(lambda: results)
    assert isinstance(results[0], Failure)
    assert results[0].value == ClientError.from_errno(errno.ECONNREFUSED)
    ends(stepped)


def test_time_unsendable(stepped: SteppingEPollReactor, servers: Callable[..., Server]) -> None:
    """A request that cannot be sent does not wait for the interval, and a pending one is waited for."""
    broadcast = ResolvedAddress(socket.AF_INET, "255.255.255.255", 9)
    results = query(stepped, TimeClient(stepped, [broadcast], tries=5, interval=1))
    assert isinstance(results[0], Failure)
    ends(stepped)
    server = servers()
    results = query(stepped, TimeClient(stepped, [server.address, broadcast], tries=1, interval=1))
    stepped.clock.advance(5)
    (sender,) = server.requests()
    server.sock.sendto(b"1111", sender)
    stepped.until(lambda: results)
    assert results[0][0] == server.address
    ends(stepped)


class Session:
    """Record what a prober reports."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, bool, str]] = []
        self.seconds: list[float] = []
        self.failed: list[tuple[int, ClientError]] = []
        self.lost: list[ClientError | None] = []

    def reply_received(self, sequence: int, seconds: float, *, correct: bool, detail: str = "") -> None:
        self.replies.append((sequence, correct, detail))
        self.seconds.append(seconds)

    def probe_failed(self, sequence: int, error: ClientError) -> None:
        self.failed.append((sequence, error))

    def connection_lost(self, error: ClientError | None) -> None:
        self.lost.append(error)


def test_udp_prober(stepped: SteppingEPollReactor, servers: Callable[..., Server]) -> None:
    """Each response is attributed to its probe; other lengths and other senders are wrong."""
    server, other, session = servers(), servers(), Session()
    prober = UdpProber(session, stepped, server.address, b"", [parse("IP_TTL=9")])  # type: ignore[arg-type]
    senders = []
    for sequence in (1, 2, 3):
        prober.probe(sequence)
        senders += server.requests()
    assert get(prober._requests[1]._port.socket, "IP_TTL") == 9
    server.sock.sendto(b"abcd", senders[1])
    server.sock.sendto(b"abc\n", senders[1])
    stepped.until(lambda: len(session.replies) == 2)
    server.sock.sendto(b"abc" * 20, senders[0])
    stepped.until(lambda: len(session.replies) == 3)
    other.sock.sendto(b"abcd", senders[0])
    stepped.until(lambda: len(session.replies) == 4)
    preview = f"60 bytes: {'abc' * 13}a\\... (first 40 of 60 bytes)"
    assert session.replies == [
        (2, True, ""),
        (2, True, ""),
        (1, False, preview),
        (1, False, str(other.address.hostport)),
    ]
    assert 0 < session.seconds[0] < 60
    assert session.seconds[3] == 0
    prober.forget(3)
    assert len(prober._requests) == len(prober._sequences) == 2
    server.sock.close()
    prober.probe(4)
    stepped.until(lambda: session.failed)
    assert session.failed == [(4, ClientError.from_errno(errno.ECONNREFUSED))]
    prober.close()
    prober._address = ResolvedAddress(socket.AF_INET, "255.255.255.255", 9)
    prober.probe(5)
    assert session.failed[-1][0] == 5
    prober.close()
    ends(stepped)


def tcp_at(daemon: Daemon) -> ResolvedAddress:
    """Return the address of the TCP listener."""
    return ResolvedAddress(socket.AF_INET, "127.0.0.1", daemon.tcp.getHost().port)


def test_tcp_prober(daemon: Daemon) -> None:
    """Probes before the connection are sent when it is made, and each echo is attributed to its probe."""
    daemon.serve()
    session = Session()
    prober = TcpProber(session, daemon.reactor, tcp_at(daemon), Message(64), [], 5)  # type: ignore[arg-type]
    prober.probe(1)
    prober.probe(2)
    daemon.reactor.until(lambda: len(session.replies) == 2)
    prober.probe(3)
    daemon.reactor.until(lambda: len(session.replies) == 3)
    assert session.replies == [(1, True, ""), (2, True, ""), (3, True, "")]
    assert all(0 < each < 60 for each in session.seconds)
    assert len(daemon.factory.connections) == 1
    prober.close()
    daemon.settle()
    assert session.lost == []
    assert not daemon.factory.connections


def test_tcp_prober_reads_any_pieces(stepped: SteppingEPollReactor) -> None:
    """An echo is found in pieces and between trailers; a number that was not sent is wrong."""
    session = Session()
    address = ResolvedAddress(socket.AF_INET, "127.0.0.1", 9)
    prober = TcpProber(session, stepped, address, Message(64), [], 5)  # type: ignore[arg-type]
    message = prober._message
    prober._sent = dict.fromkeys((7, 12), 0.0)
    for each in b"trailer" + message.numbered(12) + b"trailer" + message.numbered(7):
        prober.write(bytes([each]))
    prober.write(message.numbered(8) + message.numbered(int("9" * 30)))
    prober.forget(7)
    prober.forget(7)
    prober.write(message.numbered(7))
    assert session.replies == [
        (12, True, ""),
        (7, True, ""),
        *((0, False, each) for each in ("8", "9" * 30 + r" 01234\n", "7")),
    ]
    prober.write(bytes(1_000_000))
    assert len(message._received) < 1_000_000
    prober.close()


def test_tcp_prober_loses_its_connection(daemon: Daemon) -> None:
    """The end of the connection is reported once, with its error if there is one; so is a refused one."""
    daemon.serve()
    session = Session()
    prober = TcpProber(session, daemon.reactor, tcp_at(daemon), Message(64), [], 5)  # type: ignore[arg-type]
    prober.probe(1)
    daemon.reactor.until(lambda: session.replies)
    (connection,) = daemon.factory.connections
    connection.transport.loseConnection()
    daemon.reactor.until(lambda: session.lost)
    prober.close()
    prober = TcpProber(session, daemon.reactor, tcp_at(daemon), Message(64), [], 5)  # type: ignore[arg-type]
    prober.probe(1)
    daemon.reactor.until(lambda: len(session.replies) == 2)
    (connection,) = daemon.factory.connections
    connection.reset("test")
    daemon.reactor.until(lambda: len(session.lost) == 2)
    gone = ResolvedAddress(socket.AF_INET, "127.0.0.1", 1)
    prober = TcpProber(session, daemon.reactor, gone, Message(64), [], 5)  # type: ignore[arg-type]
    prober.probe(1)
    daemon.reactor.until(lambda: len(session.lost) == 3)
    assert [each and each.status for each in session.lost] == [None, ExitStatus.RESET, ExitStatus.REFUSED]


def test_tcp_prober_closes_while_connecting(daemon: Daemon) -> None:
    """Closing cancels a connection that is being made, which is not reported."""
    daemon.serve()
    session = Session()
    prober = TcpProber(session, daemon.reactor, tcp_at(daemon), Message(64), [], 5)  # type: ignore[arg-type]
    prober.probe(1)
    prober.close()
    daemon.settle()
    assert (session.lost, session.failed, session.replies) == ([], [], [])


def test_connect_prober(daemon: Daemon) -> None:
    """Each probe has a connection of its own, which ends; a server without an echo is wrong."""
    daemon.serve()
    session = Session()
    prober = ConnectProber(session, daemon.reactor, tcp_at(daemon), Message(64), [], 5)  # type: ignore[arg-type]
    prober.probe(1)
    daemon.reactor.until(lambda: session.replies)
    prober.probe(2)
    daemon.reactor.until(lambda: len(session.replies) == 2)
    assert session.replies == [(1, True, ""), (2, True, "")]
    assert all(0 < each < 60 for each in session.seconds)
    daemon.settle()
    assert not daemon.factory.connections
    daemon.tcp.stopReading()
    prober.probe(3)
    prober.probe(4)
    daemon.settle()
    prober.forget(3)
    daemon.reactor.clock.advance(5)
    daemon.settle()
    prober.close()
    daemon.settle()
    assert session.failed == []
    gone = ConnectProber(session, daemon.reactor, ResolvedAddress(socket.AF_INET, "127.0.0.1", 1), Message(64), [], 5)  # type: ignore[arg-type]
    gone.probe(5)
    daemon.reactor.until(lambda: session.failed)
    assert session.failed == [(5, ClientError(ExitStatus.REFUSED))]
    daemon.tcp.startReading()
    daemon.settle()


@pytest.mark.parametrize("answer", [b"", b"echotime"])
def test_connect_prober_of_cut_answer(stepped: SteppingEPollReactor, harness: PortHarness, answer: bytes) -> None:
    """An empty or cut answer is a failure of the path, and not a wrong answer."""
    session = Session()
    address = ResolvedAddress(socket.AF_INET, "127.0.0.1", harness.port.getHost().port)
    prober = ConnectProber(session, stepped, address, Message(64), [], 5)  # type: ignore[arg-type]

    def end(protocol: Any) -> None:
        protocol.transport.write(answer)
        protocol.transport.loseConnection()

    harness.factory.acts["read lost"] = end
    prober.probe(1)
    stepped.until(lambda: session.failed)
    assert session.replies == []
    ((sequence, failure),) = session.failed
    assert isinstance(failure, EchoFailure)
    assert (sequence, failure.sent, failure.received) == (1, 64, len(answer))
    assert failure.status is (ExitStatus.FAILED if answer else ExitStatus.NO_ANSWER)
    assert failure.cause is (Cause.CUT if answer else None)
    harness.over()


def test_connect_prober_of_another_server(stepped: SteppingEPollReactor, harness: PortHarness) -> None:
    """An answer that does not begin with the message is wrong, and shown in part."""
    session = Session()
    address = ResolvedAddress(socket.AF_INET, "127.0.0.1", harness.port.getHost().port)
    prober = ConnectProber(session, stepped, address, Message(64), [], 5)  # type: ignore[arg-type]
    harness.factory.acts["made"] = lambda protocol: protocol.transport.write(b"Welcome\n" * 10_000)
    harness.factory.acts["read lost"] = lambda protocol: protocol.transport.loseConnection()
    prober.probe(1)
    stepped.until(lambda: session.replies)
    shown = "Welcome\\n" * 5
    assert session.replies == [(1, False, f"80000 bytes: {shown}\\... (first 40 of 80000 bytes)")]
    data: list[Any] = [each[1] for each in harness.factory.events if each[0] == "data"]
    assert re.fullmatch(rb"echotime ping [0-9a-f]{12} 1 [0-9]*\n", b"".join(data))
    harness.over()
