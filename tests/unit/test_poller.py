"""ports/poller.py: what only a poller does. What it shares with Twisted's own transports is in test_transports.py."""

from __future__ import annotations

import errno
import select
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from zope.interface.verify import verifyObject

from echotime.ports.polled import PolledPort
from echotime.ports.poller import Poller
from tests.unit.loopback import open_descriptors
from tests.unit.noting import Bench
from tests.unit.stepping import connected, received, stepping


@pytest.fixture
def bench() -> Iterator[Bench]:
    """One with a poller."""
    with stepping() as reactor:
        yield Bench(PolledPort, reactor)


def test_interfaces(bench: Bench) -> None:
    """It is a reactor to its connections, and a reader to the real one."""
    verifyObject(IReactorFDSet, bench.port.poller)
    verifyObject(IReadDescriptor, bench.port.poller)


def test_a_turn_is_bounded(bench: Bench) -> None:
    """However many connections are ready, a turn serves so many events; who was left out is first in the next."""
    poller = bench.port.poller
    poller.turn = 10
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(bench.port)) for _ in range(25)]
        bench.made(25)
        bench.reactor.step(3)
        for each in clients:
            each.send(bytes(5000))  # two messages each
        for served in (10, 20, 30, 40, 50):
            poller.doRead()
            assert bench.factory.happened("data") == served
            if served == 30:
                assert sum(each == ("data", bytes(4096)) for each in bench.factory.noted) == 25, "one left out"
        for connection in bench.factory.connections:
            connection.transport.abortConnection()
        bench.over()


def test_short_sessions_are_never_told_to_the_kernel(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that sends and ends before it is accepted is answered and closed without any epoll_ctl."""
    told: list[Any] = []
    monkeypatch.setattr(Poller, "_tell", lambda *what: told.append(what))
    bench.factory.acts["data"] = lambda one: one.transport.write(b"answer")
    bench.factory.acts["read lost"] = lambda one: one.transport.loseConnection()
    with connected(bench.port) as sock:
        sock.send(b"question")
        sock.shutdown(1)
        bench.port.doRead()
        assert bench.factory.happened("lost") == 1
        sock.setblocking(True)
        assert received(sock) == b"answer"
        assert received(sock) == b""
    assert told == []


def test_what_cannot_be_watched_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no room for one more watch that connection ends, and those that are there do not."""
    with connected(bench.port) as old:
        bench.made()
        bench.reactor.step(2)

        class Full:
            """An epoll that takes no more."""

            def __init__(self, epoll: select.epoll) -> None:
                self._epoll = epoll

            def register(self, number: int, mask: int) -> None:
                """Refuse."""
                raise OSError(errno.ENOSPC, "no room")

            def __getattr__(self, name: str) -> Any:
                return getattr(self._epoll, name)

        monkeypatch.setattr(bench.port.poller, "_epoll", Full(bench.port.poller._epoll))
        with connected(bench.port) as new, pytest.raises(ConnectionResetError):
            bench.read_all(new)
        old.send(b"served")
        bench.reactor.until(lambda: bench.factory.noted[-1] == ("data", b"served"))
        bench.factory.connections[0].transport.loseConnection()
        bench.over()


def test_nothing_is_left_open(bench: Bench) -> None:
    """The epoll descriptor is there from when the port listens, and closed with the last connection after it."""
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
    assert open_descriptors() == before - 2, "the port and the epoll are closed"
    assert bench.port.poller.fileno() == -1
    bench.port.poller.doRead()
