"""Test net/accepting.py: errors of accept, from a socket that fails as often as the test says."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest

from echotime.daemon.ports.listener_service import TCPListenerService
from echotime.net import accepting
from echotime.net.accepting import RETRY_DELAY
from echotime.wire.hostport import HostPort
from tests.support.recording_protocol import PortHarness
from tests.support.stepping_reactor import SteppingEPollReactor, connected, received, reset


class Failing:
    """Wrap a listening socket whose accept fails `times` times with `number`."""

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
def failing(stepped: SteppingEPollReactor) -> Iterator[PortHarness]:
    """Provide a port whose socket can fail."""
    found = PortHarness(stepped)
    found.port.socket = Failing(found.port.socket)
    yield found
    found.port.stopListening()
    stepped.step(2)
    assert stepped.clock.getDelayedCalls() == []


def fails(harness: PortHarness, number: int, times: int) -> Failing:
    """Make accept fail so many times from now on."""
    sock: Failing = harness.port.socket
    sock.number, sock.times, sock.tried = number, times, 0
    return sock


def served(harness: PortHarness, sock: Any) -> None:
    """Check that a client is served, and end it."""
    sock.send(b"x")
    harness.reactor.until(lambda: harness.factory.events[-1:] == [("data", b"x")])
    reset(sock)
    harness.over()


@pytest.mark.parametrize(
    "number", [errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETUNREACH], ids=errno.errorcode.get
)
def test_of_one_client(failing: PortHarness, number: int) -> None:
    """An error that concerns one client is counted, and the next client is accepted in the same turn."""
    fails(failing, number, 3)
    with connected(failing.port) as sock:
        failing.reactor.step()
        assert failing.factory.count("made") == 1
        served(failing, sock)
    assert failing.port.errors == {f"accept {errno.errorcode[number]}": 3}


def test_of_every_client(failing: PortHarness) -> None:
    """A turn with nothing but such errors is followed by a pause."""
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
def test_lacking(failing: PortHarness, number: int) -> None:
    """A lack of descriptors or memory is bridged by the reserved descriptor, and pending clients are reset."""
    sock = fails(failing, number, 1)
    with connected(failing.port) as one, connected(failing.port) as other:
        failing.reactor.step(3)
        assert sock.tried == 4, "one failure, two clients, one EAGAIN"
        for each in (one, other):
            with pytest.raises(ConnectionResetError):
                received(each)
    assert failing.factory.count("made") == 0
    assert failing.port.errors == {f"accept {errno.errorcode[number]}": 2}
    with connected(failing.port) as later:
        served(failing, later)


def test_still_lacking(failing: PortHarness) -> None:
    """If the reserved descriptor does not help, clients stay pending during a pause."""
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


def test_stopped_while_it_pauses(failing: PortHarness) -> None:
    """A port that is stopped during the pause stays stopped."""
    fails(failing, errno.ENOMEM, 1000)
    with connected(failing.port):
        failing.reactor.step(2)
        failing.port.stopListening()
        failing.reactor.clock.advance(RETRY_DELAY)
        assert failing.port not in failing.reactor.getReaders()
        assert not failing.port.connected


def test_unknown(failing: PortHarness) -> None:
    """An unknown error ends the port, and its owner is notified."""
    failures: list[Any] = []
    failing.port.on_lost = failures.append
    fails(failing, errno.EBADF, 1)
    with connected(failing.port):
        failing.reactor.step(2)
    assert [each.value.errno for each in failures] == [errno.EBADF]
    assert not failing.port.connected


def test_told(failing: PortHarness) -> None:
    """Errors of accept are counted by the listener, as those of datagrams are."""
    listener = TCPListenerService(HostPort("127.0.0.1", 0), failing.port)
    assert listener.errors() == {}
    fails(failing, errno.EMFILE, 1)
    with connected(failing.port):
        failing.reactor.step(2)
    assert listener.errors() == {"accept EMFILE": 1}


def test_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserved descriptor is free while released, and held before and after, unless it cannot be reopened."""
    kept = accepting.ReservedFD()
    with kept.released():
        free = os.dup(0)
        os.close(free)
    held = os.dup(0)
    os.close(held)
    assert held != free
    with kept.released():
        found = os.dup(0)
        assert found == free
        monkeypatch.setattr(accepting.os, "open", lambda *how: os.dup(-1))  # type: ignore[attr-defined]
    os.close(found)
    assert kept._descriptor is None
    monkeypatch.undo()
    kept.acquire()
    assert kept._descriptor == free
    os.close(free)
