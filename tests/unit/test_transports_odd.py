"""net/connection.py in odd moments: what fails in one connection is no other's matter."""

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
from tests.support.recording_protocol import LARGE, Bench, Noting
from tests.support.stepping_reactor import SteppingEPollReactor, connected, received, reset, stepping
from tests.unit.test_transports_writing import Pushing


def fails(*_: object) -> None:
    """Raises what is no Exception."""
    raise SystemExit("odd")


def test_ipv6_addresses(stepped: SteppingEPollReactor) -> None:
    """Both ends' addresses are of the family they are of."""
    with socket.socket(socket.AF_INET6) as sock:
        bench = Bench(stepped, "::1")
        sock.connect(("::1", bench.port.getHost().port))
        transport = bench.made()
        assert (transport.getPeer().host, transport.getPeer().port) == sock.getsockname()[:2]
        assert (transport.getHost().host, transport.getHost().port) == sock.getpeername()[:2]
        reset(sock)
        bench.over()


def test_refused_does_not_linger() -> None:
    """A client that is not admitted, and does not take the end, holds nobody up; SO_LINGER would wait for it."""
    with stepping() as reactor:
        bench = Bench(reactor)
        bench.port.set_option(parse("SO_LINGER=5s"))
        bench.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        with connected(bench.port) as silent, connected(bench.port) as sock:
            silent.setsockopt(socket.IPPROTO_IP, BY_NAME["IP_MINTTL"].number, 255)  # it drops whatever comes
            began = time.monotonic()
            assert bench.read_all(sock) == b""
        assert time.monotonic() - began < 4


def test_an_end_that_fails(bench: Bench, clean_reactor: list[LogEvent]) -> None:
    """connectionLost of one protocol may raise: the other connections stay, and nothing is left of this one."""
    with connected(bench.port) as other, connected(bench.port) as sock:
        bench.made(2)
        bench.factory.acts["lost"] = fails
        reset(sock)
        bench.reactor.until(lambda: bench.factory.happened("lost"))
        bench.reactor.step(3)
        bench.factory.acts.clear()
        assert bench.factory.happened("lost") == 1
        clean_reactor.clear()
        other.send(b"still there")
        bench.reactor.until(lambda: bench.factory.noted[-1] == ("data", b"still there"))
        reset(other)
        bench.over()


def test_an_end_that_fails_with_the_reactor(clean_reactor: list[LogEvent]) -> None:
    """connectionLost of one protocol may raise, and the others are ended with the reactor all the same."""
    with stepping() as reactor:
        bench = Bench(reactor)
        with connected(bench.port), connected(bench.port), connected(bench.port):
            bench.made(3)
            bench.factory.acts["lost"] = fails
            reactor.disconnectAll()
            bench.over()
        assert reactor.getReaders() == [reactor.waker]
    clean_reactor.clear()


def test_a_producer_that_fails_at_the_end(clean_reactor: list[LogEvent]) -> None:
    """stopProducing may raise: the protocol is told, the descriptor closed."""
    with stepping() as reactor:
        bench = Bench(reactor)
        with connected(bench.port) as other, connected(bench.port) as sock:
            bench.made(2)
            transports: list[Any] = [each.transport for each in bench.factory.connections]
            one = next(each for each in transports if each.client == sock.getsockname())
            Pushing(one).stopProducing = fails  # type: ignore[method-assign]
            reset(sock)
            bench.reactor.until(lambda: bench.factory.happened("lost"))
            reactor.step(3)
            assert bench.factory.happened("lost") == 1
            clean_reactor.clear()
            reset(other)
            bench.over()


def test_write_after_abort(bench: Bench) -> None:
    """Nothing that is written after abortConnection leaves: it would follow what was thrown away."""
    with connected(bench.port, 65536) as sock:
        transport = bench.made()
        transport.write(LARGE)
        while received(sock) is not None:
            pass
        transport.abortConnection()
        transport.write(b"after")
        assert received(sock) is None
        bench.over()
    assert bench.factory.noted[-1] == ("lost", ConnectionAborted)


@pytest.mark.parametrize("late", ["loseWriteConnection", "startReading", "startWriting"])
def test_too_late(bench: Bench, late: str) -> None:
    """What cannot be asked for after the end is its caller's error, and no other connection's."""

    def act(one: Noting) -> None:
        with pytest.raises(ValueError, match="negative"):
            getattr(one.transport, late)()

    with connected(bench.port) as other, connected(bench.port) as sock:
        bench.made(2)
        bench.factory.acts["lost"] = act
        reset(sock)
        bench.reactor.until(lambda: bench.factory.happened("lost"))
        bench.reactor.step(3)
        assert bench.factory.happened("lost") == 1
        bench.factory.acts.clear()
        reset(other)
        bench.over()


def test_no_exception_ends_the_port(clean_reactor: list[LogEvent]) -> None:
    """Whatever a factory raises, the next is accepted, and the descriptor is closed, which Twisted's own port leaks."""
    with stepping() as reactor:
        bench = Bench(reactor)
        built = bench.factory.buildProtocol
        bench.factory.buildProtocol = fails  # type: ignore[method-assign,assignment]
        with connected(bench.port) as sock:
            reactor.until(lambda: clean_reactor and received(sock) == b"")
        clean_reactor.clear()
        bench.factory.buildProtocol = built  # type: ignore[method-assign]
        with connected(bench.port) as sock:
            bench.made()
            reset(sock)
            bench.over()


@pytest.mark.parametrize("how", ["abortConnection", "connectionLost"])
def test_one_acts_on_the_others(bench: Bench, how: str) -> None:
    """What a protocol does to connections of the same turn holds: nobody is read that was ended."""
    order: list[Any] = []

    def act(one: Noting) -> None:
        order.append(one)
        if len(order) == 1:
            for other in bench.factory.connections:
                if other is not one and other.transport is not None:
                    other.transport.write(b"bye")
                    args = [ConnectionLost()] if how == "connectionLost" else []
                    getattr(other.transport, how)(*map(failed, args))

    socks = [socket.create_connection(("127.0.0.1", bench.port.getHost().port)) for _ in range(12)]
    bench.made(12)
    bench.factory.acts["data"] = act
    for each in socks:
        each.send(b"hello")
    bench.reactor.step(5)
    assert len(order) == 1
    assert bench.factory.happened("lost") == 11
    for each in socks:
        reset(each)
    bench.over()


def failed(reason: Exception) -> Any:
    """As a Failure."""
    return Failure(reason)


def test_disconnect_all_in_a_turn(bench: Bench) -> None:
    """The reactor may end within a message of one connection, others of the same turn unread."""
    ends: list[Callable[[], None]] = [bench.reactor.disconnectAll]
    bench.factory.acts["data"] = lambda one: ends.pop()() if ends else None
    socks = [socket.create_connection(("127.0.0.1", bench.port.getHost().port)) for _ in range(12)]
    bench.made(12)
    for each in socks:
        each.send(b"hello")
    bench.reactor.step(5)
    assert bench.factory.happened("lost") == 12
    assert bench.factory.happened("data") == 1
    for each in socks:
        each.close()
    bench.over()


def test_nothing_keeps_a_connection(bench: Bench) -> None:
    """A connection that is over is freed without the garbage collector, and its descriptor is closed."""
    before = open_descriptors()
    gc.disable()
    try:
        for how in (reset, socket.socket.close):
            with connected(bench.port) as sock:
                gone = weakref.ref(bench.made(len(bench.factory.connections) + 1))
                sock.send(b"x")
                bench.reactor.step(3)
                how(sock)
                bench.reactor.step(3)
                if how is socket.socket.close:
                    bench.factory.transport.loseConnection()
                bench.over()
            bench.factory.connections[-1].transport = None  # the protocol, which the test keeps, has it
            assert gone() is None
    finally:
        gc.enable()
    assert open_descriptors() - before <= 1, "but for the reserve"


def test_one_writes_to_another_of_its_turn(bench: Bench) -> None:
    """What one connection's message writes to another comes after what that one wrote itself in the same turn."""

    def act(one: Noting) -> None:
        first = bench.factory.connections[0].transport
        assert first is not None
        first.write(b"first " if bench.factory.happened("data") == 1 else b"second")

    bench.factory.acts["data"] = act
    with connected(bench.port) as sock, connected(bench.port) as other:
        sock.send(b"x")
        sock.shutdown(socket.SHUT_WR)
        other.send(b"x")
        assert bench.read(sock, 12) == b"first second"
        reset(sock)
        reset(other)
        bench.factory.acts.clear()
        for one in bench.factory.connections:
            one.transport.abortConnection()
        bench.over()
