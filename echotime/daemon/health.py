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

from echotime.daemon.asking import EchoAsking, TimeAsking
from echotime.daemon.listeners import Listener
from echotime.daemon.waiting import ListenerHung, QueueState, queue_state
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.servers.echo import EchoFactory
from echotime.servers.health import HealthFactory

LIMIT = 1.0
"""Seconds for a question, and as many to look at a socket whose question was not answered."""
_SAMPLES = 10


class Verdict(Enum):
    """Says what came of a question."""

    ANSWERED = "answered"
    UNANSWERED = "not answered"
    """The listener may be well: the question did not arrive, or its answer is slow."""
    HUNG = "hung"
    """Nobody is served there."""


@dataclass(frozen=True)
class Finding:
    """Says what came of one listener, named as in the log; `seconds` are those until the answer."""

    where: str
    verdict: Verdict
    seconds: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        if self.verdict is Verdict.ANSWERED:
            return f"{self.where}: answered in {self.seconds * 1000:.1f} ms"
        return f"{self.where}: {self.verdict.value}: {self.reason}"


class HealthCheck:
    """Checks these listeners, whose connections are `factory`'s. A check that is under way serves all who ask."""

    def __init__(self, listeners: Sequence[Listener], factory: EchoFactory, reactor: Any) -> None:
        self._listeners = listeners
        self._reactor = reactor
        self._echo = factory.health = HealthFactory(factory)
        self._asking = {each: self._asking_of(each.port) for each in listeners}
        self._running: Deferred[list[Finding]] | None = None
        self._asked_by: list[Deferred[list[Finding]]] = []

    def check(self, limit: float = LIMIT) -> Deferred[list[Finding]]:
        """Return a Deferred that fires with a finding for each listener, in their order, after twice `limit` seconds.

        It takes longer where the reactor is busy.
        """
        asked: Deferred[list[Finding]] = Deferred(self._asked_by.remove)
        self._asked_by.append(asked)
        if self._running is None:
            each = [Deferred.fromCoroutine(self._finding(listener, limit)) for listener in self._listeners]
            self._running = gatherResults(each, consumeErrors=True)
            self._running.addBoth(self._finished)
        return asked

    def stop(self) -> None:
        """End a check that is under way: those who asked get CancelledError."""
        if self._running is not None:
            self._running.cancel()

    def _asking_of(self, port: EchoPort | TimePort) -> EchoAsking | TimeAsking:
        if isinstance(port, TimePort):
            return TimeAsking(port, self._reactor)
        return EchoAsking(port, self._echo, self._reactor)

    def _finished(self, result: Any) -> None:
        self._running = None
        if isinstance(result, Failure) and isinstance(result.value, FirstError):
            result = result.value.subFailure
        asked_by, self._asked_by = self._asked_by, []
        for each in asked_by:
            each.callback(result)

    async def _finding(self, listener: Listener, limit: float) -> Finding:
        port = listener.port
        began = self._reactor.seconds()
        try:
            before = queue_state(port)
            if port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
                reason = "other sockets may share its port, and would be asked instead"
            else:
                reason = await self._asking[listener].ask(limit)
            seconds = self._reactor.seconds() - began
            await self._look_for_progress(port, before, limit)
        except ListenerHung as hung:
            return Finding(listener.where, Verdict.HUNG, reason=str(hung))
        if reason:
            return Finding(listener.where, Verdict.UNANSWERED, reason=reason)
        return Finding(listener.where, Verdict.ANSWERED, seconds)

    async def _look_for_progress(self, port: EchoPort | TimePort, before: QueueState, limit: float) -> None:
        """Return once nothing is pending, or something was served since `before`. Raises ListenerHung after `limit` s.

        The samples are counted, not the time: between two of them the reactor polls the socket at least once, however
        late their timers fire. So a busy reactor has its chances to read, too, before it is judged.
        """
        began, left = self._reactor.seconds(), _SAMPLES
        now = queue_state(port)
        while now.pending and not before.made_progress(now):
            if not left:
                raise ListenerHung(f"{now.reason} for {self._reactor.seconds() - began:.2g} s")
            left -= 1
            await deferLater(self._reactor, limit / _SAMPLES)
            before, now = now, queue_state(port)
