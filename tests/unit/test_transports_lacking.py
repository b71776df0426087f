"""The TCP port where descriptors are lacking."""

from __future__ import annotations

import os
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.support.loopback import open_descriptors
from tests.support.recording_protocol import Bench
from tests.support.stepping_reactor import connected, received, reset, stepping


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


def test_out_of_descriptors(bench: Bench) -> None:
    """Who comes while no descriptor is left is turned away; then as many are accepted in a turn as before."""
    with connected(bench.port) as sock, connected(bench.port) as other:
        with few_descriptors(0):
            bench.reactor.step(3)
        assert bench.factory.happened("made") == 0
        for each in (sock, other):
            with pytest.raises(ConnectionResetError):
                received(each)
    assert bench.port.errors == {"accept EMFILE": 2}
    clients = [socket.create_connection(("127.0.0.1", bench.port.getHost().port)) for _ in range(30)]
    bench.reactor.step(2)
    assert bench.factory.happened("made") >= len(clients)
    for client in clients:
        reset(client)
    bench.over()


def test_the_last_descriptor(bench: Bench) -> None:
    """The connection that takes it is served, though nobody came before; and nobody was turned away."""
    with connected(bench.port) as sock:
        with few_descriptors(1):
            sock.send(b"served")
            bench.reactor.until(lambda: bench.factory.happened("data"))
            bench.reactor.step(3)
            assert bench.factory.happened("lost") == 0
        assert bench.port.errors == {}
        reset(sock)
        bench.over()


EPOLL = select.epoll


class Refusing:
    """An epoll that has no room for some."""

    refuses = 0

    def __init__(self, size: int) -> None:
        self._real = EPOLL(size)

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
    monkeypatch.setattr("twisted.internet.epollreactor.epoll", Refusing)
    with stepping() as reactor:
        bench = Bench(reactor)
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


def test_the_port_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where epoll has no room for the port, startListening raises, and the port does not listen."""
    with stepping() as reactor:
        before = open_descriptors()
        add = reactor.addReader

        def refuse(reader: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(reactor, "addReader", refuse)
        with pytest.raises(OSError, match="No space"):
            Bench(reactor)
        assert open_descriptors() == before
        monkeypatch.setattr(reactor, "addReader", add)
        bench = Bench(reactor)
        with connected(bench.port) as sock:
            bench.made()
            reset(sock)
            bench.over()
