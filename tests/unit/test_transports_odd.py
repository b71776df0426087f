"""Test net/connection.py with failures of one connection, which must not affect others."""

from __future__ import annotations

import gc
import socket
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.logger import LogEvent
from twisted.python.failure import Failure

from echotime.sockopt.assignment import parse
from echotime.sockopt.catalogue.index import BY_NAME
from tests.support.loopback import open_descriptors
from tests.support.recording_protocol import LARGE, PortHarness, RecordingProtocol
from tests.support.stepping_reactor import SteppingEPollReactor, connected, received, reset, stepping
from tests.support.twistd_process import LIMIT
from tests.unit.test_transports_writing import Pushing


def fails(*_: object) -> None:
    """Raise an error that is not an Exception."""
    raise SystemExit("odd")


def test_ipv6_addresses(stepped: SteppingEPollReactor) -> None:
    """On IPv6 the addresses of both ends are IPv6 addresses."""
    with socket.socket(socket.AF_INET6) as sock:
        harness = PortHarness(stepped, "::1")
        sock.connect(("::1", harness.port.getHost().port))
        transport = harness.made()
        assert (transport.getPeer().host, transport.getPeer().port) == sock.getsockname()[:2]
        assert (transport.getHost().host, transport.getHost().port) == sock.getpeername()[:2]
        reset(sock)
        harness.over()


def test_refused_does_not_linger() -> None:
    """A refused client that does not acknowledge the close blocks no other, also with SO_LINGER."""
    with stepping() as reactor:
        harness = PortHarness(reactor)
        harness.port.set_option(parse("SO_LINGER=600s"))
        harness.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        with connected(harness.port) as silent, connected(harness.port) as sock:
            silent.setsockopt(socket.IPPROTO_IP, BY_NAME["IP_MINTTL"].number, 255)  # the client drops every packet
            began = time.monotonic()
            assert harness.read_all(sock) == b""
        assert time.monotonic() - began < LIMIT


def test_an_end_that_fails(harness: PortHarness, clean_reactor: list[LogEvent]) -> None:
    """connectionLost may raise: other connections stay, and nothing is left of this one."""
    with connected(harness.port) as other, connected(harness.port) as sock:
        harness.made(2)
        harness.factory.acts["lost"] = fails
        reset(sock)
        harness.reactor.until(lambda: harness.factory.count("lost"))
        harness.reactor.step(3)
        harness.factory.acts.clear()
        assert harness.factory.count("lost") == 1
        clean_reactor.clear()
        other.send(b"still there")
        harness.reactor.until(lambda: harness.factory.events[-1] == ("data", b"still there"))
        reset(other)
        harness.over()


def test_an_end_that_fails_with_the_reactor(clean_reactor: list[LogEvent]) -> None:
    """connectionLost may raise while the reactor ends, and the other connections are still ended."""
    with stepping() as reactor:
        harness = PortHarness(reactor)
        with connected(harness.port), connected(harness.port), connected(harness.port):
            harness.made(3)
            harness.factory.acts["lost"] = fails
            reactor.disconnectAll()
            harness.over()
        assert reactor.getReaders() == [reactor.waker]
    clean_reactor.clear()


def test_a_producer_that_fails_at_the_end(clean_reactor: list[LogEvent]) -> None:
    """stopProducing may raise: connectionLost is still called, and the descriptor closed."""
    with stepping() as reactor:
        harness = PortHarness(reactor)
        with connected(harness.port) as other, connected(harness.port) as sock:
            harness.made(2)
            transports: list[Any] = [each.transport for each in harness.factory.connections]
            one = next(each for each in transports if each.client == sock.getsockname())
            Pushing(one).stopProducing = fails  # type: ignore[method-assign]
            reset(sock)
            harness.reactor.until(lambda: harness.factory.count("lost"))
            reactor.step(3)
            assert harness.factory.count("lost") == 1
            clean_reactor.clear()
            reset(other)
            harness.over()


def test_write_after_abort(harness: PortHarness) -> None:
    """Data written after abortConnection is never sent, as it would follow discarded data."""
    with connected(harness.port, 65536) as sock:
        transport = harness.made()
        transport.write(LARGE)
        while received(sock) is not None:
            pass
        transport.abortConnection()
        transport.write(b"after")
        assert received(sock) is None
        harness.over()
    assert harness.factory.events[-1] == ("lost", ConnectionAborted)


@pytest.mark.parametrize("late", ["loseWriteConnection", "startReading", "startWriting"])
def test_too_late(harness: PortHarness, late: str) -> None:
    """A call that comes after the end is its caller's error, and affects no other connection."""

    def act(one: RecordingProtocol) -> None:
        with pytest.raises(ValueError, match="negative"):
            getattr(one.transport, late)()

    with connected(harness.port) as other, connected(harness.port) as sock:
        harness.made(2)
        harness.factory.acts["lost"] = act
        reset(sock)
        harness.reactor.until(lambda: harness.factory.count("lost"))
        harness.reactor.step(3)
        assert harness.factory.count("lost") == 1
        harness.factory.acts.clear()
        reset(other)
        harness.over()


def test_no_exception_ends_the_port(clean_reactor: list[LogEvent]) -> None:
    """An exception in a factory ends neither the port nor leaks the descriptor, as Twisted's own port does."""
    with stepping() as reactor:
        harness = PortHarness(reactor)
        built = harness.factory.buildProtocol
        harness.factory.buildProtocol = fails  # type: ignore[method-assign,assignment]
        with connected(harness.port) as sock:
            reactor.until(lambda: clean_reactor and received(sock) == b"")
        clean_reactor.clear()
        harness.factory.buildProtocol = built  # type: ignore[method-assign]
        with connected(harness.port) as sock:
            harness.made()
            reset(sock)
            harness.over()


@pytest.mark.parametrize("how", ["abortConnection", "connectionLost"])
def test_one_acts_on_the_others(harness: PortHarness, how: str) -> None:
    """A connection that another one ended in the same turn is not read any more."""
    order: list[Any] = []

    def act(one: RecordingProtocol) -> None:
        order.append(one)
        if len(order) == 1:
            for other in harness.factory.connections:
                if other is not one and other.transport is not None:
                    other.transport.write(b"bye")
                    args = [ConnectionLost()] if how == "connectionLost" else []
                    getattr(other.transport, how)(*map(failed, args))

    socks = [socket.create_connection(("127.0.0.1", harness.port.getHost().port)) for _ in range(12)]
    harness.made(12)
    harness.factory.acts["data"] = act
    for each in socks:
        each.send(b"hello")
    harness.reactor.step(5)
    assert len(order) == 1
    assert harness.factory.count("lost") == 11
    for each in socks:
        reset(each)
    harness.over()


def failed(reason: Exception) -> Any:
    """Wrap an exception in a Failure."""
    return Failure(reason)


def test_disconnect_all_in_a_turn(harness: PortHarness) -> None:
    """The reactor may disconnect all within dataReceived, with others of the same turn unread."""
    ends: list[Callable[[], None]] = [harness.reactor.disconnectAll]
    harness.factory.acts["data"] = lambda one: ends.pop()() if ends else None
    socks = [socket.create_connection(("127.0.0.1", harness.port.getHost().port)) for _ in range(12)]
    harness.made(12)
    for each in socks:
        each.send(b"hello")
    harness.reactor.step(5)
    assert harness.factory.count("lost") == 12
    assert harness.factory.count("data") == 1
    for each in socks:
        each.close()
    harness.over()


def test_nothing_keeps_a_connection(harness: PortHarness) -> None:
    """An ended connection is freed without the garbage collector, and its descriptor is closed."""
    before = open_descriptors()
    gc.disable()
    try:
        for how in (reset, socket.socket.close):
            with connected(harness.port) as sock:
                gone = weakref.ref(harness.made(len(harness.factory.connections) + 1))
                sock.send(b"x")
                harness.reactor.step(3)
                how(sock)
                harness.reactor.step(3)
                if how is socket.socket.close:
                    harness.factory.transport.loseConnection()
                harness.over()
            harness.factory.connections[-1].transport = None  # the test keeps the protocol, which refers to it
            assert gone() is None
    finally:
        gc.enable()
    assert open_descriptors() - before <= 1, "except the reserved descriptor"


def test_one_writes_to_another_of_its_turn(harness: PortHarness) -> None:
    """A write to another connection of the same turn comes after that connection's own writes."""

    def act(one: RecordingProtocol) -> None:
        first = harness.factory.connections[0].transport
        assert first is not None
        first.write(b"first " if harness.factory.count("data") == 1 else b"second")

    harness.factory.acts["data"] = act
    with connected(harness.port) as sock, connected(harness.port) as other:
        sock.send(b"x")
        sock.shutdown(socket.SHUT_WR)
        other.send(b"x")
        assert harness.read(sock, 12) == b"first second"
        reset(sock)
        reset(other)
        harness.factory.acts.clear()
        for one in harness.factory.connections:
            one.transport.abortConnection()
        harness.over()
