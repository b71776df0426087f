"""net/accepting.py: what accept may fail with, each with a socket that fails so as often as the test says."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest

from echotime.daemon.listener_service import ListenerService
from echotime.net import reserved_fd
from echotime.net.accepting import RETRY_DELAY
from echotime.wire.hostport import HostPort
from tests.support.recording_protocol import Bench
from tests.support.stepping_reactor import SteppingEPollReactor, connected, received, reset


class Failing:
    """A listening socket, of which accept fails with `number`, so often."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.number = errno.EAGAIN
        self.times = 0
        self.tried = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def _accept(self) -> Any:
        self.tried += 1
        if self.times:
            self.times -= 1
            raise OSError(self.number, os.strerror(self.number))
        return self._real._accept()


@pytest.fixture
def failing(stepped: SteppingEPollReactor) -> Iterator[Bench]:
    """A bench with such a socket."""
    found = Bench(stepped)
    found.port.socket = Failing(found.port.socket)
    yield found
    found.port.stopListening()
    stepped.step(2)
    assert stepped.clock.getDelayedCalls() == []


def fails(bench: Bench, number: int, times: int) -> Failing:
    """From now on, so often."""
    sock: Failing = bench.port.socket
    sock.number, sock.times, sock.tried = number, times, 0
    return sock


def served(bench: Bench, sock: Any) -> None:
    """That a client is, and ends."""
    sock.send(b"x")
    bench.reactor.until(lambda: bench.factory.noted[-1:] == [("data", b"x")])
    reset(sock)
    bench.over()


@pytest.mark.parametrize(
    "number", [errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETUNREACH], ids=errno.errorcode.get
)
def test_of_one_client(failing: Bench, number: int) -> None:
    """What concerns one client is counted, and the next is accepted in the same turn."""
    fails(failing, number, 3)
    with connected(failing.port) as sock:
        failing.reactor.step()
        assert failing.factory.happened("made") == 1
        served(failing, sock)
    assert failing.port.errors == {f"accept {errno.errorcode[number]}": 3}


def test_of_every_client(failing: Bench) -> None:
    """Where a whole turn is nothing but such errors, the next try is a while later."""
    most = failing.port.numberAccepts
    sock = fails(failing, errno.EPERM, 10 * most)
    with connected(failing.port) as client:
        failing.reactor.step(50)
        assert sock.tried == most
        failing.reactor.clock.advance(RETRY_DELAY)
        failing.reactor.step(50)
        assert sock.tried == 2 * most
        sock.times = 0
        failing.reactor.clock.advance(RETRY_DELAY)
        served(failing, client)
    assert failing.port.errors == {"accept EPERM": 2 * most}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.get)
def test_lacking(failing: Bench, number: int) -> None:
    """Where something is lacking that the kept descriptor gives, those who wait are reset."""
    sock = fails(failing, number, 1)
    with connected(failing.port) as one, connected(failing.port) as other:
        failing.reactor.step(3)
        assert sock.tried == 4, "the one that failed, two clients, and nobody else"
        for each in (one, other):
            with pytest.raises(ConnectionResetError):
                received(each)
    assert failing.factory.happened("made") == 0
    assert failing.port.errors == {f"accept {errno.errorcode[number]}": 2}
    with connected(failing.port) as later:
        served(failing, later)


def test_still_lacking(failing: Bench) -> None:
    """Where not even that helps, clients wait, and nothing is tried for a while."""
    sock = fails(failing, errno.ENOMEM, 1000)
    with connected(failing.port) as client:
        failing.reactor.step(50)
        assert sock.tried == 2
        failing.reactor.clock.advance(RETRY_DELAY)
        failing.reactor.step(50)
        assert sock.tried == 4
        sock.times = 0
        failing.reactor.clock.advance(RETRY_DELAY)
        served(failing, client)
    assert failing.port.errors == {"accept ENOMEM": 2}


def test_stopped_while_it_pauses(failing: Bench) -> None:
    """A port that is stopped meanwhile stays so."""
    fails(failing, errno.ENOMEM, 1000)
    with connected(failing.port):
        failing.reactor.step(2)
        failing.port.stopListening()
        failing.reactor.clock.advance(RETRY_DELAY)
        assert failing.port not in failing.reactor.getReaders()
        assert not failing.port.connected


def test_unknown(failing: Bench) -> None:
    """An error that nothing is known of ends the port, and its owner is told."""
    told: list[Any] = []
    failing.port.on_lost = told.append
    fails(failing, errno.EBADF, 1)
    with connected(failing.port):
        failing.reactor.step(2)
    assert [each.value.errno for each in told] == [errno.EBADF]
    assert not failing.port.connected


def test_told(failing: Bench) -> None:
    """An operator and the log are told of it as of datagrams."""
    listener = ListenerService("tcp", HostPort("127.0.0.1", 0), failing.port)
    assert listener.errors() == {}
    fails(failing, errno.EMFILE, 1)
    with connected(failing.port):
        failing.reactor.step(2)
    assert listener.errors() == {"accept EMFILE": 1}


def test_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptor is free while it is given up, held before and after; where it cannot be had that is no error."""
    kept = reserved_fd.ReservedFD()
    with kept.released():
        free = os.dup(0)
        os.close(free)
    held = os.dup(0)
    os.close(held)
    assert held != free
    with kept.released():
        found = os.dup(0)
        assert found == free
        monkeypatch.setattr(reserved_fd.os, "open", lambda *how: os.dup(-1))  # type: ignore[attr-defined]
    os.close(found)
    assert kept._descriptor is None
    monkeypatch.undo()
    kept.acquire()
    assert kept._descriptor == free
    os.close(free)
