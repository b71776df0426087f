"""ports/polled.py and ports/stock.py in odd moments: what fails in one connection is no other's matter."""

from __future__ import annotations

import gc
import os
import resource
import select
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.logger import LogEvent
from twisted.python.failure import Failure

from echotime.ports.polled import PolledPort
from echotime.ports.stock import StockPort
from echotime.ports.tcp import EchoPort
from echotime.sockopt.assignment import parse
from echotime.sockopt.catalogue import BY_NAME
from tests.unit.loopback import open_descriptors
from tests.unit.noting import LARGE, Bench, Noting
from tests.unit.stepping import connected, received, reset, stepping
from tests.unit.test_transports_writing import Pushing


@pytest.fixture(params=[StockPort, PolledPort])
def odd(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench for each kind."""
    with stepping() as reactor:
        yield Bench(request.param, reactor)


def fails(*_: object) -> None:
    """Raises what is no Exception."""
    raise SystemExit("odd")


def test_ipv6_addresses() -> None:
    """Both ends' addresses are of the family they are of."""
    for kind in (StockPort, PolledPort):
        with stepping() as reactor, socket.socket(socket.AF_INET6) as sock:
            bench = Bench(kind, reactor)
            port = kind(0, bench.factory, interface="::1", reactor=reactor)
            port.startListening()
            sock.connect(("::1", port.getHost().port))
            transport = bench.made()
            assert (transport.getPeer().host, transport.getPeer().port) == sock.getsockname()[:2]
            assert (transport.getHost().host, transport.getHost().port) == sock.getpeername()[:2]
            reset(sock)
            bench.over()


@pytest.mark.parametrize("refusing", [StockPort, PolledPort])
def test_refused_does_not_linger(refusing: type[EchoPort]) -> None:
    """A client that is not admitted, and does not take the end, holds nobody up; SO_LINGER would wait for it."""
    with stepping() as reactor:
        bench = Bench(refusing, reactor)
        bench.port.change(parse("SO_LINGER=5s"))
        bench.factory.buildProtocol = lambda addr: None  # type: ignore[method-assign]
        with connected(bench.port) as silent, connected(bench.port) as sock:
            silent.setsockopt(socket.IPPROTO_IP, BY_NAME["IP_MINTTL"].number, 255)  # it drops whatever comes
            began = time.monotonic()
            assert bench.read_all(sock) == b""
        assert time.monotonic() - began < 4


def test_an_end_that_fails(odd: Bench, clean_reactor: list[LogEvent]) -> None:
    """connectionLost of one protocol may raise: the other connections stay, and nothing is left of this one."""
    with connected(odd.port) as other, connected(odd.port) as sock:
        odd.made(2)
        odd.factory.acts["lost"] = fails
        reset(sock)
        odd.reactor.until(lambda: odd.factory.happened("lost"))
        odd.reactor.step(3)
        odd.factory.acts.clear()
        assert odd.factory.happened("lost") == 1
        clean_reactor.clear()
        other.send(b"still there")
        odd.reactor.until(lambda: odd.factory.noted[-1] == ("data", b"still there"))
        reset(other)
        odd.over()


def test_an_end_that_fails_with_the_reactor(clean_reactor: list[LogEvent]) -> None:
    """connectionLost of one protocol may raise, and the others are ended with the reactor all the same."""
    with stepping() as reactor:
        bench = Bench(PolledPort, reactor)
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
        bench = Bench(PolledPort, reactor)
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


def test_write_after_abort(odd: Bench) -> None:
    """Nothing that is written after abortConnection leaves: it would follow what was thrown away."""
    with connected(odd.port, 65536) as sock:
        transport = odd.made()
        transport.write(LARGE)
        while received(sock) is not None:
            pass
        transport.abortConnection()
        transport.write(b"after")
        assert received(sock) is None
        odd.over()
    assert odd.factory.noted[-1] == ("lost", ConnectionAborted)


@pytest.mark.parametrize("late", ["loseWriteConnection", "startReading", "startWriting"])
def test_too_late(odd: Bench, late: str) -> None:
    """What cannot be asked for after the end is its caller's error, and no other connection's."""

    def act(one: Noting) -> None:
        with pytest.raises(ValueError, match="negative"):
            getattr(one.transport, late)()

    with connected(odd.port) as other, connected(odd.port) as sock:
        odd.made(2)
        odd.factory.acts["lost"] = act
        reset(sock)
        odd.reactor.until(lambda: odd.factory.happened("lost"))
        odd.reactor.step(3)
        assert odd.factory.happened("lost") == 1
        odd.factory.acts.clear()
        reset(other)
        odd.over()


def test_no_exception_ends_the_port(clean_reactor: list[LogEvent]) -> None:
    """Whatever a factory raises, the next is accepted, and the descriptor is closed, which Twisted's own port leaks."""
    with stepping() as reactor:
        bench = Bench(PolledPort, reactor)
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


@contextmanager
def few_descriptors(number: int) -> Iterator[None]:
    """So many are left for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 40, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(number):
            os.close(taken.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in taken:
            os.close(each)


def test_out_of_descriptors(odd: Bench) -> None:
    """Who comes while no descriptor is left is turned away; then as many are accepted in a turn as before."""
    with connected(odd.port) as sock, connected(odd.port) as other:
        with few_descriptors(0):
            odd.reactor.step(3)
        assert odd.factory.happened("made") == 0
        for each in (sock, other):
            with pytest.raises(ConnectionResetError):
                received(each)
    assert odd.port.errors == {"accept EMFILE": 2}
    clients = [socket.create_connection(("127.0.0.1", odd.port.getHost().port)) for _ in range(30)]
    odd.reactor.step(2 if odd.kind is PolledPort else 40)
    assert odd.factory.happened("made") >= len(clients)
    for client in clients:
        reset(client)
    odd.over()


def test_the_last_descriptor(odd: Bench) -> None:
    """The connection that takes it is served, though nobody came before; and nobody was turned away."""
    with connected(odd.port) as sock:
        with few_descriptors(1):
            sock.send(b"served")
            odd.reactor.until(lambda: odd.factory.happened("data"))
            odd.reactor.step(3)
            assert odd.factory.happened("lost") == 0
        assert odd.port.errors == {}
        reset(sock)
        odd.over()


EPOLL = select.epoll


class Refusing:
    """An epoll that has no room for some."""

    refuses = 0

    def __init__(self) -> None:
        self._real = EPOLL()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def register(self, number: int, mask: int) -> None:
        """As the kernel's at its limit."""
        if Refusing.refuses:
            Refusing.refuses -= 1
            raise OSError(28, "No space left on device")
        self._real.register(number, mask)


def test_no_room_to_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that the kernel cannot watch are ended, and no other."""
    monkeypatch.setattr("echotime.ports.poller.select.epoll", Refusing)
    with stepping() as reactor:
        bench = Bench(PolledPort, reactor)
        Refusing.refuses = 2
        with connected(bench.port), connected(bench.port):
            bench.made(2)
            bench.over()
        with connected(bench.port) as sock:
            bench.made(3)
            sock.send(b"served")
            reactor.until(lambda: bench.factory.noted[-1] == ("data", b"served"))
            reset(sock)
            bench.over()


def test_the_poller_itself_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reactor has no room for the poller, or there is no descriptor for it, the port does not listen."""
    with stepping() as reactor:
        before = open_descriptors()
        add = reactor.addReader

        def refuse(reader: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(reactor, "addReader", refuse)
        with pytest.raises(OSError, match="No space"):
            Bench(PolledPort, reactor)
        assert open_descriptors() == before
        monkeypatch.setattr(reactor, "addReader", add)
        bench = Bench(PolledPort, reactor)
        with connected(bench.port) as sock:
            bench.made()
            reset(sock)
            bench.over()


@pytest.mark.parametrize("how", ["abortConnection", "connectionLost"])
def test_one_acts_on_the_others(odd: Bench, how: str) -> None:
    """What a protocol does to connections of the same turn holds: nobody is read that was ended."""
    order: list[Any] = []

    def act(one: Noting) -> None:
        order.append(one)
        if len(order) == 1:
            for other in odd.factory.connections:
                if other is not one and other.transport is not None:
                    other.transport.write(b"bye")
                    args = [ConnectionLost()] if how == "connectionLost" else []
                    getattr(other.transport, how)(*map(failed, args))

    socks = [socket.create_connection(("127.0.0.1", odd.port.getHost().port)) for _ in range(12)]
    odd.made(12)
    odd.factory.acts["data"] = act
    for each in socks:
        each.send(b"hello")
    odd.reactor.step(5)
    assert len(order) == 1
    assert odd.factory.happened("lost") == 11
    for each in socks:
        reset(each)
    odd.over()


def failed(reason: Exception) -> Any:
    """As a Failure."""
    return Failure(reason)


def test_disconnect_all_in_a_turn(odd: Bench) -> None:
    """The reactor may end within a message of one connection, others of the same turn unread."""
    ends: list[Callable[[], None]] = [odd.reactor.disconnectAll]
    odd.factory.acts["data"] = lambda one: ends.pop()() if ends else None
    socks = [socket.create_connection(("127.0.0.1", odd.port.getHost().port)) for _ in range(12)]
    odd.made(12)
    for each in socks:
        each.send(b"hello")
    odd.reactor.step(5)
    assert odd.factory.happened("lost") == 12
    assert odd.factory.happened("data") == 1
    for each in socks:
        each.close()
    odd.over()


def test_nothing_keeps_a_connection(odd: Bench) -> None:
    """A connection that is over is freed without the garbage collector, and its descriptor is closed."""
    before = open_descriptors()
    gc.disable()
    try:
        for how in (reset, socket.socket.close):
            with connected(odd.port) as sock:
                gone = weakref.ref(odd.made(len(odd.factory.connections) + 1))
                sock.send(b"x")
                odd.reactor.step(3)
                how(sock)
                odd.reactor.step(3)
                if how is socket.socket.close:
                    odd.factory.transport.loseConnection()
                odd.over()
            odd.factory.connections[-1].transport = None  # the protocol, which the test keeps, has it
            assert gone() is None
    finally:
        gc.enable()
    assert open_descriptors() - before <= 1, "but for the poller's own"


def test_one_writes_to_another_of_its_turn(odd: Bench) -> None:
    """What one connection's message writes to another comes after what that one wrote itself in the same turn."""

    def act(one: Noting) -> None:
        odd.factory.transport.write(b"")
        first = odd.factory.connections[0].transport
        assert first is not None
        first.write(b"first " if len(odd.factory.connections) == 1 else b"second")

    odd.factory.acts["data"] = act
    with connected(odd.port) as sock, connected(odd.port) as other:
        sock.send(b"x")
        sock.shutdown(socket.SHUT_WR)
        if odd.kind is StockPort:
            odd.factory.acts["data"] = lambda one: odd.factory.transport.write(b"")
            odd.made(2)
            for each in (b"first ", b"second"):
                odd.factory.connections[0].transport.write(each)
        else:
            other.send(b"x")
        assert odd.read(sock, 12) == b"first second"
        reset(sock)
        reset(other)
        odd.factory.acts.clear()
        for one in odd.factory.connections:
            one.transport.abortConnection()
        odd.over()
