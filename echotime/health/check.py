"""Check whether every listener serves: probe each of them, and sample the queue of a listener that does not answer.

A UDP socket sends a datagram to itself. A TCP listener is probed over a connection or, in a sandbox, over a socketpair,
which bypasses the listener. So the accept queue is sampled even after a probe that was answered. What several processes
serve is not probed, as another one might receive the probe.

A listener counts as hung only with proof: its socket is dead, the reactor does not read it, or connections or datagrams
are pending and this process serves none. A probe without an answer proves nothing. A firewall may have dropped it, or
the network or host may be slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echotime.health.probes import NotProbed, Probe, TCPProbe, UDPProbe
from echotime.health.queue_progress import ListenerHung, QueueState
from echotime.net.listener import Listener, ListeningPort
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.services.echo_factory import EchoFactory
from echotime.services.probe_echo import ProbeEchoFactory

PROBE_TIMEOUT = 1.0
"""Seconds for a probe, and again for sampling a queue."""
_SAMPLES = 10


class HealthStatus(Enum):
    """Classify the result of a check of one listener."""

    ANSWERED = "answered"
    UNANSWERED = "not answered"
    """No correct answer. Clients may be served all the same."""
    NOT_PROBED = "not probed"
    """Other processes may serve the same port, and nothing is pending that this process should serve."""
    HUNG = "hung"
    """No client is served."""


@dataclass(frozen=True)
class ProbeResult:
    """Hold the result of a check of one listener, for the log and the control socket."""

    listener: str
    """Transport and address."""
    status: HealthStatus
    seconds: float = 0.0
    """Seconds until the answer. 0 if there was none."""
    reason: str = ""

    def __str__(self) -> str:
        if self.status is HealthStatus.ANSWERED:
            return f"{self.listener}: answered in {self.seconds * 1000:.1f} ms"
        return f"{self.listener}: {self.status.value}: {self.reason}"


class HealthCheck:
    """Check TCP and UDP listeners. Calls during a check share its results.

    `factory` makes the protocols of the TCP listeners. It is set up to recognize the probes.
    """

    def __init__(
        self,
        tcp: Sequence[Listener[EchoPort]],
        udp: Sequence[Listener[TimePort]],
        factory: EchoFactory,
        reactor: Any,
    ) -> None:
        self._reactor = reactor
        probe_factory = factory.probe_factory = ProbeEchoFactory(factory)
        self._probes: list[tuple[Listener[ListeningPort], Probe]] = [
            *((each, TCPProbe(each.port, probe_factory, reactor)) for each in tcp),
            *((each, UDPProbe(each.port, reactor)) for each in udp),
        ]
        self._running: Deferred[list[ProbeResult]] | None = None
        self._waiters: list[Deferred[list[ProbeResult]]] = []

    def check(self, timeout: float = PROBE_TIMEOUT) -> Deferred[list[ProbeResult]]:
        """Return a Deferred that fires with a result for each listener, TCP first.

        It fires within twice `timeout` seconds, later if the reactor is busy. It fails with CancelledError on stop.
        """
        waiter: Deferred[list[ProbeResult]] = Deferred(self._waiters.remove)
        self._waiters.append(waiter)
        if self._running is None:
            checks = [Deferred.fromCoroutine(self._check_listener(*each, timeout)) for each in self._probes]
            self._running = gatherResults(checks, consumeErrors=True)
            self._running.addBoth(self._finished)
        return waiter

    def stop(self) -> None:
        """Cancel a check that is in progress."""
        if self._running is not None:
            self._running.cancel()

    def _finished(self, result: Any) -> None:
        self._running = None
        if isinstance(result, Failure) and isinstance(result.value, FirstError):
            result = result.value.subFailure
        waiters, self._waiters = self._waiters, []
        for each in waiters:
            each.callback(result)

    async def _check_listener(self, listener: Listener[ListeningPort], probe: Probe, timeout: float) -> ProbeResult:
        started_at = self._reactor.seconds()
        try:
            initial = probe.queue_state()
            unanswered = HealthStatus.UNANSWERED
            try:
                reason = await probe.run(timeout)
            except NotProbed as not_probed:
                unanswered, reason = HealthStatus.NOT_PROBED, str(not_probed)
            seconds = self._reactor.seconds() - started_at
            await self._wait_for_progress(probe, initial, timeout)
        except ListenerHung as hung:
            return ProbeResult(listener.label, HealthStatus.HUNG, reason=str(hung))
        if reason:
            return ProbeResult(listener.label, unanswered, reason=reason)
        return ProbeResult(listener.label, HealthStatus.ANSWERED, seconds)

    async def _wait_for_progress(self, probe: Probe, previous: QueueState, timeout: float) -> None:
        """Return when nothing need be served or something was. Raises ListenerHung after `timeout` seconds.

        A fixed number of samples is taken. The reactor polls the socket at least once between two samples, even if the
        timers fire late. So a busy reactor can read the socket before the listener is reported as hung.
        """
        started_at, samples_left = self._reactor.seconds(), _SAMPLES
        current = probe.queue_state()
        while current.must_progress and not previous.made_progress(current):
            if not samples_left:
                raise ListenerHung(f"{current.reason} for {self._reactor.seconds() - started_at:.2g} s")
            samples_left -= 1
            await deferLater(self._reactor, timeout / _SAMPLES)
            previous, current = current, probe.queue_state()
