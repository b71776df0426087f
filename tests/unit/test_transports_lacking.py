"""Test the TCP port without free descriptors or epoll watches."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from twisted.internet.error import ConnectionLost

from tests.support.loopback import open_descriptors
from tests.support.recording_protocol import PortHarness
from tests.support.stepping_reactor import connected, received, reset, stepping


@contextmanager
def few_descriptors(number: int) -> Iterator[None]:
    """Leave so many free descriptors in the body."""
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


def test_out_of_descriptors(harness: PortHarness) -> None:
    """Clients that come without a free descriptor are reset; afterwards as many are accepted per turn as before."""
    with connected(harness.port) as sock, connected(harness.port) as other:
        with few_descriptors(0):
            harness.reactor.step(3)
        assert harness.factory.count("made") == 0
        for each in (sock, other):
            with pytest.raises(ConnectionResetError):
                received(each)
    assert harness.port.errors == {"accept EMFILE": 2}
    clients = [socket.create_connection(("127.0.0.1", harness.port.getHost().port)) for _ in range(30)]
    harness.reactor.step(2)
    assert harness.factory.count("made") >= len(clients)
    for client in clients:
        reset(client)
    harness.over()


def test_the_last_descriptor(harness: PortHarness) -> None:
    """The connection that takes the last descriptor is served, and none is reset."""
    with connected(harness.port) as sock:
        with few_descriptors(1):
            sock.send(b"served")
            harness.reactor.until(lambda: harness.factory.count("data"))
            harness.reactor.step(3)
            assert harness.factory.count("lost") == 0
        assert harness.port.errors == {}
        reset(sock)
        harness.over()


EPOLL = select.epoll


class Refusing:
    """Stand for an epoll that fails some registrations with ENOSPC."""

    refuses = 0

    def __init__(self, size: int) -> None:
        self._real = EPOLL(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def register(self, number: int, mask: int) -> None:
        if Refusing.refuses:
            Refusing.refuses -= 1
            raise OSError(28, "No space left on device")
        self._real.register(number, mask)


def test_no_room_to_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that the kernel cannot watch are ended, and no others."""
    monkeypatch.setattr("twisted.internet.epollreactor.epoll", Refusing)
    with stepping() as reactor:
        harness = PortHarness(reactor)
        Refusing.refuses = 2
        with connected(harness.port), connected(harness.port):
            harness.made(2)
            harness.over()
        assert harness.port.errors == {"epoll_ctl ENOSPC": 2}
        with connected(harness.port) as sock:
            harness.made(3)
            sock.send(b"served")
            reactor.until(lambda: harness.factory.events[-1] == ("data", b"served"))
            reset(sock)
            harness.over()


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ETIMEDOUT, TimeoutError), (errno.ECONNRESET, ConnectionLost), (errno.EIO, OSError)]
)
def test_error_of_a_connection(harness: PortHarness, number: int, kind: type[Exception]) -> None:
    """An errno of recv(2) that is not the client's reset reaches the protocol."""

    class Failing:
        def __init__(self, sock: Any) -> None:
            self._sock = sock

        def recv(self, size: int) -> bytes:
            raise OSError(number, os.strerror(number))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sock, name)

    with connected(harness.port) as sock:
        harness.made()
        transport = harness.factory.transport
        transport.socket = Failing(transport.socket)
        sock.send(b"x")
        harness.reactor.until(lambda: harness.factory.count("lost"))
        assert harness.factory.events[-1] == ("lost", kind)
        harness.over()


def test_the_port_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """If epoll cannot watch the port, startListening raises, and the port does not listen."""
    with stepping() as reactor:
        before = open_descriptors()
        add = reactor.addReader

        def refuse(reader: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(reactor, "addReader", refuse)
        with pytest.raises(OSError, match="No space"):
            PortHarness(reactor)
        assert open_descriptors() == before
        monkeypatch.setattr(reactor, "addReader", add)
        harness = PortHarness(reactor)
        with connected(harness.port) as sock:
            harness.made()
            reset(sock)
            harness.over()
