"""Provide listeners with a health check, on a reactor that the test steps."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from echotime.daemon.ports.listener_service import ListenerService, TCPListenerService, UDPListenerService
from echotime.health.check import HealthCheck, HealthStatus, ProbeResult
from echotime.limits.access import AccessList
from echotime.limits.admission import Admission
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.services.echo_factory import EchoFactory
from echotime.services.probe_echo import ProbeEchoFactory
from echotime.services.replies import IReplySource
from echotime.services.traffic import TrafficLog
from echotime.services.udp_time import TimeProtocol
from echotime.wire.hostport import HostPort
from echotime.wire.message import ACKNOWLEDGEMENT
from tests.support.stepping_reactor import SteppingEPollReactor


def open_sockets() -> int:
    """Return the number of open sockets of this process."""
    found = Path("/proc/self/fd").iterdir()
    return sum(str(each.readlink()).startswith("socket:") for each in found if os.path.lexists(each))


class Daemon:
    """Hold listeners, their health check, and a reactor that the test steps."""

    def __init__(self, reactor: SteppingEPollReactor) -> None:
        self.reactor = reactor
        self.traffic = TrafficLog(reactor)
        self.listeners: list[ListenerService[Any]] = []

    def serve(
        self,
        tcp: str = "127.0.0.1",
        udp: str = "127.0.0.1",
        trailer: bytes = ACKNOWLEDGEMENT + b"ok",
        reply_source: IReplySource | None = None,
        access: AccessList | None = None,
    ) -> HealthCheck:
        """Listen on TCP and UDP and return the health check."""
        admission = Admission(self.traffic.counters, access)
        self.factory = EchoFactory(self.traffic, trailer, reply_source, admission)
        protocol = TimeProtocol(time.time, self.traffic.counters, access=access)
        return self.begin(
            EchoPort(0, self.factory, interface=tcp, reactor=self.reactor),
            TimePort(0, protocol, interface=udp, reactor=self.reactor),
        )

    @property
    def probe_factory(self) -> ProbeEchoFactory:
        """Return the factory of the health check's own connections."""
        factory = self.factory.probe_factory
        assert isinstance(factory, ProbeEchoFactory)
        return factory

    def begin(self, tcp: Any, udp: Any) -> HealthCheck:
        """Listen on these ports and return their health check."""
        self.tcp, self.udp = tcp, udp
        tcp_listener = TCPListenerService(HostPort("", 0), tcp)
        udp_listener = UDPListenerService(HostPort("", 0), udp)
        self.listeners += [tcp_listener, udp_listener]
        self.check = HealthCheck([tcp_listener], [udp_listener], self.factory, self.reactor)
        for each in self.listeners:
            each.startService()
        return self.check

    def wait_for(self, result: Deferred[Any]) -> list[Any]:
        """Step the reactor until the Deferred fires; return its result in a list, empty after 2000 steps.

        The clock advances 10 ms per step.
        """
        results: list[Any] = []
        result.addBoth(results.append)
        for _ in range(2000):
            self.reactor.step(3)
            if results:
                break
            self.reactor.clock.advance(0.01)
        return results

    def findings(self) -> list[ProbeResult]:
        """Run a health check and return its results."""
        (found,) = self.wait_for(self.check.check())
        assert isinstance(found, list), found
        return found

    def verdicts(self) -> list[HealthStatus]:
        """Run a health check and return the status of TCP and of UDP."""
        return [each.status for each in self.findings()]

    def stop(self) -> None:
        """Stop the health check and all listeners."""
        self.check.stop()
        for listener in self.listeners:
            listener.stopService()
        self.listeners.clear()
        self.settle()

    def settle(self) -> None:
        """Let the reactor process everything pending."""
        self.reactor.step(50)
