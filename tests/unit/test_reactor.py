"""Test echotime/reactor.py where it differs from Twisted's; test_transports.py has what they share.

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
from tests.support.recording_protocol import PortHarness
from tests.support.stepping_reactor import SteppingReactor, connected, received, reset, stepping

_SO_TIMESTAMPING = 37
_TIMESTAMP_OF_SENT_DATA = 0x12
"""SOF_TIMESTAMPING_TX_SOFTWARE and SOF_TIMESTAMPING_SOFTWARE."""


@pytest.fixture
def harness() -> Iterator[PortHarness]:
    """Provide a TCP port on the echotime reactor."""
    with stepping() as reactor:
        yield PortHarness(reactor)


def others(reactor: Any) -> list[Any]:
    """Return the selectables that are not connections, without the reactor's own."""
    selectables = [reactor._selectables[fd] for fd in reactor._others]
    return [each for each in selectables if each not in reactor._internalReaders]


@contextmanager
def many_connected(harness: PortHarness) -> Iterator[list[socket.socket]]:
    """Connect 25 clients, and abort their connections at the end."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(harness.port)) for _ in range(25)]
        harness.made(25)
        harness.reactor.step(9)
        yield clients
        for connection in harness.factory.connections:
            connection.transport.abortConnection()
        harness.over()


class Epoll:
    """Count epoll_ctl(2) calls by name, and fail register with ENOSPC on request."""

    def __init__(self, reactor: Any) -> None:
        self._real = reactor._poller
        self.calls: list[tuple[str, int]] = []
        self.refuses = False
        reactor._poller = self

    def register(self, fd: int, mask: int) -> None:
        if self.refuses:
            raise OSError(errno.ENOSPC, "no room")
        self.calls.append(("register", mask))
        self._real.register(fd, mask)

    def modify(self, fd: int, mask: int) -> None:
        self.calls.append(("modify", mask))
        self._real.modify(fd, mask)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_interfaces() -> None:
    """The reactor and the connections provide their interfaces."""
    reactor = ChangelistReactor()
    verifyObject(IReactorFDSet, reactor)
    verifyObject(IReactorTime, reactor)
    verifyClass(IChangelistConnection, EchoConnection, tentative=True)
    for each in reactor.removeAll():
        each.connectionLost(None)
    reactor._poller.close()


def test_monotonic_time() -> None:
    """The reactor's time is the monotonic clock."""
    assert abs(ChangelistReactor.seconds() - time.monotonic()) < 60


def test_events_are_bounded(harness: PortHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """An iteration handles a bounded number of events, and the rest comes first in the next."""
    monkeypatch.setattr(module, "MAX_EVENTS", 10)
    with many_connected(harness) as clients:
        for each in clients:
            each.send(bytes(5000))  # two messages each
        for served in (10, 20, 30, 40, 50):
            harness.reactor.step()
            assert harness.factory.count("data") == served
            if served == 30:
                assert sum(each == ("data", bytes(4096)) for each in harness.factory.events) == 25, (
                    "a connection was left out"
                )


def test_others_do_not_wait_for_connections(harness: PortHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another selectable is served in each iteration, however many connections are ready."""
    monkeypatch.setattr(module, "MAX_EVENTS", 5)
    with many_connected(harness) as clients:
        pipe = Pipe(harness.reactor)
        pipe.startReading()
        for each in clients:
            each.send(bytes(100))
        os.write(pipe.write_end, b"x")
        harness.reactor.step()
        assert (harness.factory.count("data"), pipe.heard) == (5, [b"x"])
        pipe.connectionLost(Failure(SystemExit()))


def test_short_sessions_are_never_registered(harness: PortHarness) -> None:
    """A client that sends and closes before it is accepted is served without any epoll_ctl(2)."""
    epoll = Epoll(harness.reactor)
    harness.factory.acts["data"] = lambda one: one.transport.write(b"answer")
    harness.factory.acts["read lost"] = lambda one: one.transport.loseConnection()
    with connected(harness.port) as sock:
        sock.send(b"question")
        sock.shutdown(socket.SHUT_WR)
        harness.reactor.step()
        assert harness.factory.count("lost") == 1
        sock.setblocking(True)
        assert received(sock) == b"answer"
        assert received(sock) == b""
    assert epoll.calls == []


def test_pause_and_resume_cost_nothing(harness: PortHarness) -> None:
    """A pause and resume within an iteration change no registration; a pause alone changes it once."""

    def act(one: Any) -> None:
        one.transport.pauseProducing()
        one.transport.resumeProducing()

    with connected(harness.port) as sock:
        transport = harness.made()
        harness.reactor.step(2)
        harness.factory.acts["data"] = act
        epoll = Epoll(harness.reactor)
        sock.send(b"x")
        harness.reactor.until(lambda: harness.factory.count("data"))
        harness.reactor.step(2)
        assert epoll.calls == []
        transport.pauseProducing()
        harness.reactor.step(2)
        assert epoll.calls == [("modify", 0)]
        reset(sock)
        harness.over()


def test_a_descriptor_number_is_used_again(harness: PortHarness) -> None:
    """A connection that reuses a descriptor number within an iteration is served like any other."""
    harness.factory.acts["data"] = lambda one: one.transport.loseConnection()
    for _ in range(3):
        with connected(harness.port) as first, connected(harness.port) as second:
            number = len(harness.factory.connections)
            first.send(b"x")
            second.send(b"x")
            harness.made(number + 2)
            harness.over()
    harness.factory.acts.clear()
    with connected(harness.port) as sock:
        harness.made(7)
        sock.send(b"served")
        harness.reactor.until(lambda: harness.factory.events[-1] == ("data", b"served"))
        reset(sock)
        harness.over()


def test_what_cannot_be_registered_is_ended(harness: PortHarness) -> None:
    """At fs.epoll.max_user_watches a new connection ends, and the existing ones do not."""
    with connected(harness.port) as old:
        harness.made()
        harness.reactor.step(2)
        epoll = Epoll(harness.reactor)
        epoll.refuses = True
        with connected(harness.port) as new, pytest.raises(ConnectionResetError):
            harness.read_all(new)
        old.send(b"served")
        harness.reactor.until(lambda: harness.factory.events[-1] == ("data", b"served"))
        harness.factory.connections[0].transport.loseConnection()
        harness.over()


def assert_received(harness: PortHarness, message: bytes) -> None:
    """Step the reactor until the protocol has received a message."""
    harness.reactor.until(lambda: ("data", message) in harness.factory.events)


@pytest.mark.parametrize("paused", [False, True])
def test_error_queue_is_no_end_of_file(harness: PortHarness, paused: bool) -> None:
    """Timestamps in the error queue raise EPOLLERR alone. They are discarded, and the connection continues."""
    with connected(harness.port) as client:
        transport = harness.made()
        transport.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _TIMESTAMP_OF_SENT_DATA)
        for message in (b"one", b"two"):
            if paused:
                transport.pauseProducing()
            transport.write(message)
            assert harness.read(client, 3) == message
            harness.reactor.step(3)
            assert not select.select([transport.socket], [], [], 0)[0], "EPOLLERR would be reported again and again"
            transport.resumeProducing()
            client.send(message)
            assert_received(harness, message)
        assert not harness.factory.count("lost")
        assert not harness.factory.count("read lost")
        transport.abortConnection()
        harness.over()


def test_pending_error_ends_the_connection(harness: PortHarness) -> None:
    """An error of the socket, as from ICMP with IP_RECVERR, is not taken for the client's end of file."""
    with connected(harness.port):
        transport = harness.made()
        transport.read_error = lambda: OSError(errno.EHOSTUNREACH, "as the socket reports it")
        reactor: Any = harness.reactor
        reactor._handle_event(transport, transport.fileno(), select.EPOLLERR)
        harness.over()
        assert harness.factory.events[-1] == ("lost", OSError)


def test_a_change_by_a_timer_does_not_wait(harness: PortHarness) -> None:
    """A change by a timer is registered before the reactor waits, and may set another timer."""
    with connected(harness.port) as sock:
        transport = harness.made()
        transport.pauseProducing()
        sock.send(b"x")
        harness.reactor.step(2)
        transport.resumeProducing()  # as a timer does
        harness.reactor.doIteration(None)  # would block for ever without the registration
        harness.reactor.until(lambda: harness.factory.count("data"))
        harness.factory.acts["lost"] = lambda one: harness.reactor.callLater(0, sock.close)
        transport.loseConnection()
        harness.reactor.doIteration(None)  # connectionLost is called before the poll
        harness.over()
        harness.reactor.step()
        assert sock.fileno() == -1


class Pipe(FileDescriptor):
    """Read from a pipe as a selectable with direct dispatch."""

    direct_dispatch = True

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self._read, self.write_end = os.pipe()
        self.heard: list[bytes] = []
        self.fails = False
        self.lost: list[Failure] = []

    def fileno(self) -> int:
        return self._read

    def doRead(self) -> None:
        """Record the data, and fail on request."""
        self.heard.append(os.read(self._read, 10))
        if self.fails:
            raise SystemExit("odd")

    def connectionLost(self, reason: Failure) -> None:
        """Record the failure, and fail again on request."""
        super().connectionLost(reason)
        self.lost.append(reason)
        os.close(self._read)
        os.close(self.write_end)
        if self.fails:
            raise SystemExit("odder")


def test_direct_dispatch(clean_reactor: list[LogEvent]) -> None:
    """A selectable that fails is logged and ended, also if its end fails; others go on."""
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
    """A selectable removed by an earlier event of the same iteration is not called."""
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


def test_nothing_is_left_open(harness: PortHarness) -> None:
    """After the last connection and the port only the reactor's own descriptors are open."""
    before = open_descriptors()
    with connected(harness.port):
        harness.made()
        harness.reactor.step(2)
        assert open_descriptors() == before + 2, "both ends"
    harness.reactor.until(lambda: harness.factory.count("read lost"))
    harness.factory.transport.loseConnection()
    harness.over()
    harness.port.stopListening()
    harness.reactor.step(3)
    assert open_descriptors() == before - 1, "the port is closed"
    assert harness.reactor.getReaders() == [harness.reactor.waker]
    assert others(harness.reactor) == []


def test_regular_files_are_polled() -> None:
    """A file that epoll refuses (EPERM: a regular file) is served as Twisted does."""
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


def test_memory_error(harness: PortHarness, clean_reactor: list[LogEvent]) -> None:
    """The MemoryError callback runs before the error is logged, to free the memory that logging needs."""

    def fail(one: Any) -> None:
        raise MemoryError

    order: list[object] = []
    harness.reactor.on_memory_error = lambda: order.append(len(clean_reactor))  # type: ignore[attr-defined]
    harness.factory.acts["data"] = fail
    with connected(harness.port) as sock:
        sock.send(b"x")
        harness.made()
        harness.over()
    assert order == [0]
    assert harness.factory.events[-1] == ("lost", MemoryError)
    assert "MemoryError" in str(clean_reactor)
    clean_reactor.clear()
