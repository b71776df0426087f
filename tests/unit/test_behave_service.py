"""Test daemon/ports/behave_service.py: listeners of --behave that are opened, changed, reloaded and closed."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
from twisted.internet.task import Clock

from echotime.behave.udp.protocol import BehavingTimeProtocol
from echotime.config.parsers import behaving_address
from echotime.counters import ServiceCounters
from echotime.daemon.ports.behave_service import BehaveService
from echotime.daemon.ports.listener_service import ListenFailedError, UDPListenerService
from echotime.daemon.ports.listeners import Listeners
from echotime.net.accepting import RETRY_DELAY
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
