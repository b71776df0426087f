"""Listeners with a health check of them, on a reactor that is turned by hand."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from echotime.daemon.listener_service import ListenerService
from echotime.health.check import HealthCheck, HealthStatus, ProbeResult
from echotime.limits.access import AccessList
from echotime.limits.admission import Admission
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.services.replies import FixedReply, IReplySource
from echotime.services.tcp_echo import EchoFactory
from echotime.services.traffic import TrafficLog
from echotime.services.udp_time import TimeProtocol
from echotime.wire.hostport import HostPort
from tests.support.stepping_reactor import SteppingEPollReactor


def open_sockets() -> int:
    """How many this process has."""
    found = Path("/proc/self/fd").iterdir()
    return sum(str(each.readlink()).startswith("socket:") for each in found if os.path.lexists(each))


class Daemon:
    """Listeners, a check of them, and a reactor that is turned by hand."""

    def __init__(self, reactor: SteppingEPollReactor) -> None:
        self.reactor = reactor
        self.traffic = TrafficLog(reactor)
        self.listeners: list[ListenerService] = []

    def serve(
        self,
        tcp: str = "127.0.0.1",
        udp: str = "127.0.0.1",
        words: IReplySource | None = None,
        access: AccessList | None = None,
        **factory: Any,
    ) -> HealthCheck:
        """Listen on both, and the check."""
        admission = Admission(self.traffic.counters, access)
        self.factory = EchoFactory(words or FixedReply(b"ok"), self.traffic, admission=admission, **factory)
        protocol = TimeProtocol(time.time, self.traffic.counters, access=access)
        return self.begin(
            EchoPort(0, self.factory, interface=tcp, reactor=self.reactor),
            TimePort(0, protocol, interface=udp, reactor=self.reactor),
        )

    def begin(self, tcp: Any, udp: Any) -> HealthCheck:
        """Listen on these ports."""
        self.tcp, self.udp = tcp, udp
        self.listeners += [
            ListenerService("tcp", HostPort("", 0), tcp),
            ListenerService("udp", HostPort("", 0), udp),
        ]
        self.check = HealthCheck(self.listeners, self.factory, self.reactor)
        for each in self.listeners:
            each.startService()
        return self.check

    def wait_for(self, asked: Deferred[Any]) -> list[Any]:
        """What it fires with, in a list; time passes as long as nothing happens."""
        results: list[Any] = []
        asked.addBoth(results.append)
        for _ in range(2000):
            self.reactor.step(3)
            if results:
                break
            self.reactor.clock.advance(0.01)
        return results

    def findings(self) -> list[ProbeResult]:
        """Of a check."""
        (found,) = self.wait_for(self.check.check())
        assert isinstance(found, list), found
        return found

    def verdicts(self) -> list[HealthStatus]:
        """Of TCP and UDP."""
        return [each.status for each in self.findings()]

    def stop(self) -> None:
        """Listen no more."""
        self.check.stop()
        for listener in self.listeners:
            listener.stopService()
        self.listeners.clear()
        self.settle()

    def settle(self) -> None:
        """Let all that waits be taken."""
        self.reactor.step(50)
