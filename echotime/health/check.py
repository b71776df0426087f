"""Finds out whether every listener serves: asks each a real question from within, and looks at one that is silent.

A UDP socket asks itself. A TCP listener is asked over a new socket or, where the daemon can make none in its network,
over a socketpair, which does not pass the listener: then its accept queue is looked at after an answer, too.

A listener is hung only if that is proven: its socket is dead, or connections or datagrams are pending, and none is
served. A question without an answer proves nothing. It may have been dropped by a firewall, or held up by a slow
network or a busy host; and where it was accepted, the listener serves.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echotime.health.probes import TCPProbe, UDPProbe
from echotime.health.queue_progress import ListenerHung, QueueState, read_queue_state
from echotime.net.listener import Listener
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.services.probe_echo import ProbeEchoFactory
from echotime.services.tcp_echo import EchoFactory

PROBE_TIMEOUT = 1.0
"""Seconds for a question, and as many to look at a socket whose question was not answered."""
_SAMPLES = 10


class HealthStatus(Enum):
    """Says what came of a question."""

    ANSWERED = "answered"
    UNANSWERED = "not answered"
    """The listener may be well: the question did not arrive, or its answer is slow."""
    HUNG = "hung"
    """Nobody is served there."""


@dataclass(frozen=True)
class ProbeResult:
    """Says what came of one listener, named as in the log; `seconds` are those until the answer."""

    listener: str
    status: HealthStatus
    seconds: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        if self.status is HealthStatus.ANSWERED:
            return f"{self.listener}: answered in {self.seconds * 1000:.1f} ms"
        return f"{self.listener}: {self.status.value}: {self.reason}"


class HealthCheck:
    """Checks these listeners, whose connections are `factory`'s. A check that is under way serves all who ask."""

    def __init__(self, listeners: Sequence[Listener], factory: EchoFactory, reactor: Any) -> None:
        self._listeners = listeners
        self._reactor = reactor
        self._probe_factory = factory.probe_factory = ProbeEchoFactory(factory)
        self._probes = {each: self._make_probe(each.port) for each in listeners}
        self._running: Deferred[list[ProbeResult]] | None = None
        self._waiters: list[Deferred[list[ProbeResult]]] = []

    def check(self, timeout: float = PROBE_TIMEOUT) -> Deferred[list[ProbeResult]]:
        """Return a Deferred that fires with a finding for each listener, in their order, after twice `timeout` seconds.

        It takes longer where the reactor is busy.
        """
        waiter: Deferred[list[ProbeResult]] = Deferred(self._waiters.remove)
        self._waiters.append(waiter)
        if self._running is None:
            checks = [Deferred.fromCoroutine(self._check_listener(listener, timeout)) for listener in self._listeners]
            self._running = gatherResults(checks, consumeErrors=True)
            self._running.addBoth(self._finished)
        return waiter

    def stop(self) -> None:
        """End a check that is under way: those who asked get CancelledError."""
        if self._running is not None:
            self._running.cancel()

    def _make_probe(self, port: EchoPort | TimePort) -> TCPProbe | UDPProbe:
        if isinstance(port, TimePort):
            return UDPProbe(port, self._reactor)
        return TCPProbe(port, self._probe_factory, self._reactor)

    def _finished(self, result: Any) -> None:
        self._running = None
        if isinstance(result, Failure) and isinstance(result.value, FirstError):
            result = result.value.subFailure
        waiters, self._waiters = self._waiters, []
        for each in waiters:
            each.callback(result)

    async def _check_listener(self, listener: Listener, timeout: float) -> ProbeResult:
        port = listener.port
        started_at = self._reactor.seconds()
        try:
            initial = read_queue_state(port)
            if port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
                reason = "other sockets may share its port, and would be asked instead"
            else:
                reason = await self._probes[listener].run(timeout)
            seconds = self._reactor.seconds() - started_at
            await self._wait_for_progress(port, initial, timeout)
        except ListenerHung as hung:
            return ProbeResult(listener.label, HealthStatus.HUNG, reason=str(hung))
        if reason:
            return ProbeResult(listener.label, HealthStatus.UNANSWERED, reason=reason)
        return ProbeResult(listener.label, HealthStatus.ANSWERED, seconds)

    async def _wait_for_progress(self, port: EchoPort | TimePort, previous: QueueState, timeout: float) -> None:
        """Return once nothing is pending, or something was served since `previous`. Raises ListenerHung after `timeout`
        s.

        The samples are counted, not the time: between two of them the reactor polls the socket at least once, however
        late their timers fire. So a busy reactor has its chances to read, too, before it is judged.
        """
        started_at, samples_left = self._reactor.seconds(), _SAMPLES
        current = read_queue_state(port)
        while current.pending and not previous.made_progress(current):
            if not samples_left:
                raise ListenerHung(f"{current.reason} for {self._reactor.seconds() - started_at:.2g} s")
            samples_left -= 1
            await deferLater(self._reactor, timeout / _SAMPLES)
            previous, current = current, read_queue_state(port)
