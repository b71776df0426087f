"""Test daemon/ports/behave_service.py: listeners of --behave that are opened, changed, reloaded and closed."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from echotime.behave.udp.protocol import BehavingTimeProtocol
from echotime.config.parsers import behaving_address
from echotime.counters import ServiceCounters
from echotime.daemon.ports.behave_service import BehaveService
from echotime.daemon.ports.listener_service import ListenFailedError, UDPListenerService
from echotime.daemon.ports.listeners import Listeners
from echotime.daemon.ports.port_users import describe_port_users
from echotime.net.accepting import RETRY_DELAY
from echotime.net.tcp import EchoPort
from echotime.services.echo_factory import EchoFactory
from echotime.services.traffic import TrafficLog
from tests.support.checked_listeners import open_sockets
from tests.support.stepping_reactor import SteppingEPollReactor


class Behaving:
    """Run a BehaveService on a reactor that the test steps, as the daemon does."""

    def __init__(self, reactor: SteppingEPollReactor, *texts: str) -> None:
        self.reactor = reactor
        self.listeners = Listeners([], [])
        self.lost: list[str] = []
        self.service = BehaveService(
            [behaving_address(each) for each in texts],
            EchoFactory(TrafficLog(reactor.clock, 0)),
            lambda behavior: BehavingTimeProtocol(
                reactor.seconds, ServiceCounters(), behavior=behavior, reactor=reactor.clock
            ),
            self.listeners,
            lambda: ({"reactor": reactor}, {"reactor": reactor}),
            self.lost.append,
        )

    def start(self) -> None:
        """Open the listeners that were requested."""
        self.service.privilegedStartService()
        self.service.startService()
        self.reactor.step()

    def listen(self, behavior: str) -> EchoPort:
        """Open a TCP listener with a behavior."""
        self.service.change([f"127.0.0.1:0={behavior}"])
        return self.listeners.tcp[-1].port

    def change(self, behavior: str) -> None:
        """Give another behavior to the only listener."""
        (listener,) = self.listeners.tcp
        self.service.change([f"{listener.address}={behavior}"])

    def accepts(self, port: EchoPort) -> bool:
        """Return True if the reactor would accept connections."""
        return port in self.reactor.getReaders()


@pytest.fixture
def sockets() -> Iterator[int]:
    """Provide the number of sockets that were open before the test, and check that it leaves as many."""
    before = open_sockets()
    yield before
    assert open_sockets() == before


@pytest.fixture
def udp_port_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first three UDP ports be in use."""
    listen, left = UDPListenerService.listen, [3]

    def listen_later(listener: UDPListenerService) -> None:
        if left[0]:
            left[0] -= 1
            raise ListenFailedError("in use")
        listen(listener)

    monkeypatch.setattr(UDPListenerService, "listen", listen_later)


@pytest.mark.usefixtures("udp_port_taken")
@pytest.mark.parametrize("at_start", [True, False])
def test_free_port_of_both_transports(
    sockets: int, stepped: SteppingEPollReactor, lines: list[str], *, at_start: bool
) -> None:
    """A TCP port whose number is taken for UDP is closed again, also at the start, and the log says so."""
    behaving = Behaving(stepped, *["127.0.0.1:0=client"] * at_start)
    behaving.start()
    if not at_start:
        behaving.service.change(["127.0.0.1:0=client"])
        stepped.step()
    assert open_sockets() - sockets == len([*behaving.listeners]) == 2
    assert lines.count("stopped listening on {name}") == 3
    behaving.service.stopService()
    stepped.step()
    assert behaving.lost == []


@pytest.fixture
def behaving(sockets: int, stepped: SteppingEPollReactor) -> Iterator[Behaving]:
    """Provide a service without listeners, which are closed after the test."""
    made = Behaving(stepped)
    made.start()
    yield made
    made.service.stopService()
    stepped.step(2)
    assert (made.lost, stepped.clock.getDelayedCalls()) == ([], [])


def test_pause_after_an_error(behaving: Behaving) -> None:
    """A pause after an error of accept(2) is not ended by another behavior, and does not end no_accept."""
    port = behaving.listen("echo")
    no_memory = patch.object(socket.socket, "_accept", side_effect=OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))
    for kind, accepts_later in (("timeout", True), ("no_accept", False)):
        behaving.change("echo")
        assert behaving.accepts(port)
        with no_memory:
            port.doRead()
        behaving.change(kind)
        assert (port.is_paused, behaving.accepts(port)) == (True, False)
        behaving.reactor.clock.advance(RETRY_DELAY)
        assert (port.is_paused, behaving.accepts(port)) == (False, accepts_later)


def test_accept_queue_of_no_accept(behaving: Behaving, lines: list[str]) -> None:
    """A reload leaves the accept queue of no_accept as it is, and applies to the behavior that follows."""
    port = behaving.listen("no_accept:backlog=3")
    (listener,) = behaving.listeners.tcp
    del lines[:]
    for backlog in (1, 7):
        assert not listener.set_backlog(backlog)
        assert (port.accept_queue_limit, lines) == (3, [])
    behaving.change("no_accept")
    assert port.accept_queue_limit == 7
    assert listener.set_backlog(9)
    behaving.change("no_accept:backlog=0")
    assert port.accept_queue_limit == 0
    behaving.change("echo")
    assert port.accept_queue_limit == 9


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_own_port_in_use(transport: str) -> None:
    """A port that this process holds is told with its address. A port that something else holds is told with ss."""
    kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
    with socket.socket(type=kind) as own:
        own.bind(("127.0.0.1", 0))
        if transport == "tcp":
            own.listen()
        port = own.getsockname()[1]
        told = describe_port_users(transport, port)
        assert told == f"this daemon itself serves {transport.upper()} 127.0.0.1:{port}"
    assert "another socket holds the port; find it: ss" in describe_port_users("udp", port)
