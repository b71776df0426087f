"""Test net/owned.py: the owner of a port is notified when the port is lost."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import pytest
from twisted.logger import LogEvent
from twisted.python.failure import Failure

from echotime.control.listener import UnixPort
from echotime.daemon.ports.listener_service import TCPListenerService, UDPListenerService
from echotime.net.owned import SocketShutDown
from echotime.net.tcp import EchoPort
from echotime.web.listener import HTTPPort
from echotime.wire.hostport import HostPort
from tests.support.loopback import SERVED
from tests.support.recording_protocol import RecordingFactory
from tests.support.stepping_reactor import SteppingEPollReactor, reset


class Owner:
    """Own a listening port of one kind, and record the failures it is notified of."""

    def __init__(self, kind: str, reactor: SteppingEPollReactor) -> None:
        self.reactor = reactor
        self.served = RecordingFactory()
        if kind in {"tcp", "http"}:
            port_class = {"tcp": EchoPort, "http": HTTPPort}[kind]
            self.port: Any = port_class(0, self.served, interface="127.0.0.1", reactor=reactor)
        elif kind == "unix":
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            sock.bind("")  # a free name in the abstract namespace
            self.port = UnixPort(sock, self.served, reactor)
        else:
            self.port = SERVED[kind].on(reactor=reactor)
        self.failures: list[Failure] = []
        self.port.on_lost = self.failures.append
        self.port.startListening()

    def shut(self, how: int) -> None:
        """Shut the socket down, as another process with an inherited descriptor may do."""
        with socket.socket(fileno=self.port.socket.dup().detach()) as other, suppress(OSError):
            other.shutdown(how)

    def visit(self) -> None:
        """Send the port something to read."""
        with socket.socket(self.port.addressFamily, self.port.socketType) as sock:
            sock.connect(self.port.socket.getsockname())
            if self.port.socketType == socket.SOCK_DGRAM:
                sock.send(b"x")
            self.reactor.step(5)
            reset(sock)
        for each in self.served.connections:
            each.transport.abortConnection()
        self.reactor.step(5)


@pytest.fixture(params=["tcp", "http", "unix", *SERVED])
def owner(request: pytest.FixtureRequest, stepped: SteppingEPollReactor) -> Owner:
    """Provide an owner for each kind of port on each of the reactors."""
    return Owner(request.param, stepped)


def test_stopped(owner: Owner) -> None:
    """A port that is stopped is not lost."""
    stopping = owner.port.stopListening()
    owner.reactor.step(2)
    assert stopping.called
    assert not owner.port.connected
    assert owner.failures == []


def test_lost_after_a_stop(owner: Owner) -> None:
    """A port that was stopped and started again can be lost like any other."""
    owner.port.stopListening()
    owner.reactor.step(2)
    owner.port.startListening()
    owner.shut(socket.SHUT_RDWR)
    owner.reactor.step(5)
    assert [each.type for each in owner.failures] == [SocketShutDown]


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_RDWR])
def test_shut_down(owner: Owner, how: int) -> None:
    """A socket that is shut down ends its port, and the owner is notified once everything is closed."""
    owner.shut(how)
    owner.reactor.until(lambda: owner.failures)
    owner.reactor.step(5)
    assert [each.type for each in owner.failures] == [SocketShutDown]
    assert not owner.port.connected
    assert owner.reactor.getReaders() == [owner.reactor.waker]


def test_shut_down_for_sending(owner: Owner) -> None:
    """A UDP port that cannot send is lost; a listener does not send."""
    owner.shut(socket.SHUT_WR)
    owner.visit()
    assert [each.type for each in owner.failures] == (
        [SocketShutDown] if owner.port.socketType == socket.SOCK_DGRAM else []
    )


def test_any_error(owner: Owner, clean_reactor: list[LogEvent]) -> None:
    """Any exception in doRead ends the port, and the owner is notified of it."""

    def fail() -> None:
        raise MemoryError

    owner.port.doRead = fail
    owner.visit()
    assert [each.type for each in owner.failures] == [MemoryError]
    assert not owner.port.connected
    assert [event["failure"].type for event in clean_reactor] == [MemoryError], "Twisted logs it"
    clean_reactor.clear()


def test_nobody_to_tell(owner: Owner) -> None:
    """A port without an owner just ends."""
    owner.port.on_lost = None
    owner.shut(socket.SHUT_RDWR)
    owner.reactor.until(lambda: not owner.port.connected)


@pytest.mark.parametrize("owner", ["tcp", *SERVED], indirect=True)
@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (SocketShutDown(), "another process shut the socket down"),
        (MemoryError(), "MemoryError"),
        (OSError(5, "I/O error"), "OSError: [Errno 5] I/O error"),
    ],
    ids=["shut down", "memory", "unknown"],
)
def test_listener(owner: Owner, why: Exception, reason: str) -> None:
    """The service that holds a port reports which port was lost, and why."""
    owner.port.stopListening()
    owner.reactor.step(2)
    reasons: list[str] = []
    service = TCPListenerService if isinstance(owner.port, EchoPort) else UDPListenerService
    listener = service(HostPort("127.0.0.1", 0), owner.port, reasons.append)
    listener.startService()
    name = listener.label
    owner.port.connectionLost(Failure(why))
    assert reasons == [f"listener lost: {name}: {reason}"]
