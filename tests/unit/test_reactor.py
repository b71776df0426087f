"""echotime/reactor.py: what only our reactor does. What it shares with Twisted's is in test_transports.py.

Twisted's own tests for reactors run in tests/integration/test_reactor.py.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.logger import LogEvent
from twisted.python.failure import Failure
from zope.interface.verify import verifyClass, verifyObject

from echotime import reactor as module
from echotime.net.connection import EchoConnection
from echotime.reactor import ChangelistReactor, IChangelistConnection
from tests.support.loopback import open_descriptors
from tests.support.recording_protocol import Bench
from tests.support.stepping_reactor import SteppingReactor, connected, received, reset, stepping


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A TCP port on our reactor."""
    with stepping() as reactor:
        yield Bench(reactor)


def others(reactor: Any) -> list[Any]:
    """Return the selectables that are no connections, without the reactor's own."""
    selectables = [reactor._selectables[fd] for fd in reactor._others]
    return [each for each in selectables if each not in reactor._internalReaders]


@contextmanager
def many_connected(bench: Bench) -> Iterator[list[socket.socket]]:
    """Connect 25 clients, and abort their connections at the end."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(bench.port)) for _ in range(25)]
        bench.made(25)
        bench.reactor.step(9)
        yield clients
        for connection in bench.factory.connections:
            connection.transport.abortConnection()
        bench.over()


class Epoll:
    """Counts epoll_ctl(2) calls by name, and refuses one kind with ENOSPC if told to."""

    def __init__(self, reactor: Any) -> None:
        self._real = reactor._poller
        self.calls: list[tuple[str, int]] = []
        self.refuses = False
        reactor._poller = self

    def register(self, fd: int, mask: int) -> None:
        """Count."""
        if self.refuses:
            raise OSError(errno.ENOSPC, "no room")
        self.calls.append(("register", mask))
        self._real.register(fd, mask)

    def modify(self, fd: int, mask: int) -> None:
        """Count."""
        self.calls.append(("modify", mask))
        self._real.modify(fd, mask)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_interfaces() -> None:
    """The reactor is one, and connections provide what it asks of them."""
    reactor = ChangelistReactor()
    verifyObject(IReactorFDSet, reactor)
    verifyObject(IReactorTime, reactor)
    verifyClass(IChangelistConnection, EchoConnection, tentative=True)
    for each in reactor.removeAll():
        each.connectionLost(None)
    reactor._poller.close()


def test_monotonic_time() -> None:
    """Seconds are those of the clock that nobody sets."""
    assert abs(ChangelistReactor.seconds() - time.monotonic()) < 60


def test_events_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections are ready, an iteration handles so many events; the rest comes first in the next."""
    monkeypatch.setattr(module, "MAX_EVENTS", 10)
    with many_connected(bench) as clients:
        for each in clients:
            each.send(bytes(5000))  # two messages each
        for served in (10, 20, 30, 40, 50):
            bench.reactor.step()
            assert bench.factory.happened("data") == served
            if served == 30:
                assert sum(each == ("data", bytes(4096)) for each in bench.factory.noted) == 25, "one left out"


def test_others_do_not_wait_for_connections(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections are ready, another selectable is served in each iteration."""
    monkeypatch.setattr(module, "MAX_EVENTS", 5)
    with many_connected(bench) as clients:
        pipe = Pipe(bench.reactor)
        pipe.startReading()
        for each in clients:
            each.send(bytes(100))
        os.write(pipe.write_end, b"x")
        bench.reactor.step()
        assert (bench.factory.happened("data"), pipe.heard) == (5, [b"x"])
        pipe.connectionLost(Failure(SystemExit()))


def test_short_sessions_are_never_registered(bench: Bench) -> None:
    """A client that sends and ends before it is accepted is answered and closed without any epoll_ctl(2)."""
    epoll = Epoll(bench.reactor)
    bench.factory.acts["data"] = lambda one: one.transport.write(b"answer")
    bench.factory.acts["read lost"] = lambda one: one.transport.loseConnection()
    with connected(bench.port) as sock:
        sock.send(b"question")
        sock.shutdown(socket.SHUT_WR)
        bench.reactor.step()
        assert bench.factory.happened("lost") == 1
        sock.setblocking(True)
        assert received(sock) == b"answer"
        assert received(sock) == b""
    assert epoll.calls == []


def test_pause_and_resume_cost_nothing(bench: Bench) -> None:
    """A connection that is paused and resumed within an iteration is not registered anew; a pause alone is, once."""

    def act(one: Any) -> None:
        one.transport.pauseProducing()
        one.transport.resumeProducing()

    with connected(bench.port) as sock:
        transport = bench.made()
        bench.reactor.step(2)
        bench.factory.acts["data"] = act
        epoll = Epoll(bench.reactor)
        sock.send(b"x")
        bench.reactor.until(lambda: bench.factory.happened("data"))
        bench.reactor.step(2)
        assert epoll.calls == []
        transport.pauseProducing()
        bench.reactor.step(2)
        assert epoll.calls == [("modify", 0)]
        reset(sock)
        bench.over()


def test_a_descriptor_number_is_used_again(bench: Bench) -> None:
    """A connection that ends in the iteration in which the next gets its number leaves nothing behind for that one."""
    bench.factory.acts["data"] = lambda one: one.transport.loseConnection()
    for _ in range(3):
        with connected(bench.port) as first, connected(bench.port) as second:
            number = len(bench.factory.connections)
            first.send(b"x")
            second.send(b"x")
            bench.made(number + 2)
            bench.over()
    bench.factory.acts.clear()
    with connected(bench.port) as sock:
        bench.made(7)
        sock.send(b"served")
        bench.reactor.until(lambda: bench.factory.noted[-1] == ("data", b"served"))
        reset(sock)
        bench.over()


def test_what_cannot_be_registered_is_ended(bench: Bench) -> None:
    """At fs.epoll.max_user_watches a new connection ends, and those that are there do not."""
    with connected(bench.port) as old:
        bench.made()
        bench.reactor.step(2)
        epoll = Epoll(bench.reactor)
        epoll.refuses = True
        with connected(bench.port) as new, pytest.raises(ConnectionResetError):
            bench.read_all(new)
        old.send(b"served")
        bench.reactor.until(lambda: bench.factory.noted[-1] == ("data", b"served"))
        bench.factory.connections[0].transport.loseConnection()
        bench.over()


def test_a_change_by_a_timer_does_not_wait(bench: Bench) -> None:
    """What a timer changes is registered before the reactor waits, and what that calls may set another timer."""
    with connected(bench.port) as sock:
        transport = bench.made()
        transport.pauseProducing()
        sock.send(b"x")
        bench.reactor.step(2)
        transport.resumeProducing()  # as a timer would
        bench.reactor.doIteration(None)  # would wait for ever for what was not registered
        bench.reactor.until(lambda: bench.factory.happened("data"))
        bench.factory.acts["lost"] = lambda one: bench.reactor.callLater(0, sock.close)
        transport.loseConnection()
        bench.reactor.doIteration(None)  # its end is told before the poll
        bench.over()
        bench.reactor.step()
        assert sock.fileno() == -1


class Pipe(FileDescriptor):
    """A selectable with direct dispatch, reading from a pipe."""

    direct_dispatch = True

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self._read, self.write_end = os.pipe()
        self.heard: list[bytes] = []
        self.fails = False
        self.lost: list[Failure] = []

    def fileno(self) -> int:
        """That of the end to read."""
        return self._read

    def doRead(self) -> None:
        """Note it, or fail."""
        self.heard.append(os.read(self._read, 10))
        if self.fails:
            raise SystemExit("odd")

    def connectionLost(self, reason: Failure) -> None:
        """Note it, and fail again."""
        super().connectionLost(reason)
        self.lost.append(reason)
        os.close(self._read)
        os.close(self.write_end)
        if self.fails:
            raise SystemExit("odder")


def test_direct_dispatch(clean_reactor: list[LogEvent]) -> None:
    """A selectable that fails is logged and ended, also if its end fails; the reactor and others go on."""
    with stepping() as reactor:
        failing, other = Pipe(reactor), Pipe(reactor)
        for each in (failing, other):
            each.startReading()
            os.write(each.write_end, b"x")
        failing.fails = True
        reactor.step()
        assert [each.type for each in failing.lost] == [SystemExit]
        assert (failing.heard, other.heard) == ([b"x"], [b"x"])
        assert len(clean_reactor) == 2
        clean_reactor.clear()
        other.connectionLost(Failure(SystemExit()))
        assert others(reactor) == []


def test_removed_by_an_earlier_event() -> None:
    """A selectable that an earlier event of the same iteration removes is not called."""
    with stepping() as reactor:
        pipes = [Pipe(reactor), Pipe(reactor)]
        for one, other in (pipes, pipes[::-1]):
            one.doRead = other.stopReading  # type: ignore[method-assign]
            one.startReading()
            os.write(one.write_end, b"x")
        reactor.step()
        assert len(others(reactor)) == 1
        for each in pipes:
            each.connectionLost(Failure(SystemExit()))


def test_nothing_is_left_open(bench: Bench) -> None:
    """After the last connection and the port there are no descriptors but the reactor's own."""
    before = open_descriptors()
    with connected(bench.port):
        bench.made()
        bench.reactor.step(2)
        assert open_descriptors() == before + 2, "both ends"
    bench.reactor.until(lambda: bench.factory.happened("read lost"))
    bench.factory.transport.loseConnection()
    bench.over()
    bench.port.stopListening()
    bench.reactor.step(3)
    assert open_descriptors() == before - 1, "the port is closed"
    assert bench.reactor.getReaders() == [bench.reactor.waker]
    assert others(bench.reactor) == []


def test_regular_files_are_polled() -> None:
    """What epoll refuses (EPERM: a regular file) is served as Twisted does."""
    with stepping() as reactor, open(os.devnull, "rb") as file:  # noqa: PTH123
        assert isinstance(reactor, SteppingReactor)

        class File(Pipe):
            def fileno(self) -> int:
                return file.fileno()

        with pytest.raises(OSError, match="not permitted"):
            select.epoll().register(file.fileno())
        one = File(reactor)
        reactor.addReader(one)
        assert one in reactor.getReaders()
        reactor.removeReader(one)
        assert one not in reactor.getReaders()
        os.close(one._read)
        os.close(one.write_end)


def test_memory_error(bench: Bench, clean_reactor: list[LogEvent]) -> None:
    """An application hears of a MemoryError before it is logged, to free what logging it needs."""

    def fail(one: Any) -> None:
        raise MemoryError

    order: list[object] = []
    bench.reactor.on_memory_error = lambda: order.append(len(clean_reactor))  # type: ignore[attr-defined]
    bench.factory.acts["data"] = fail
    with connected(bench.port) as sock:
        sock.send(b"x")
        bench.made()
        bench.over()
    assert order == [0]
    assert bench.factory.noted[-1] == ("lost", MemoryError)
    assert "MemoryError" in str(clean_reactor)
    clean_reactor.clear()
