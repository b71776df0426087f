"""Whether every listener serves: a real question to each, from within, and what to make of one that is not answered.

A UDP socket asks itself. A TCP listener is asked over a new socket or, where the daemon can make none in its network,
over what a client's connection has left (ports.spare).

A question that never arrives says nothing of the daemon: a listener may be bound to a device, or firewalled. So a
listener is called hung, which is what a restart cures, only if its socket is dead, or if what waits in it is not taken;
that is looked at where a question is not answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from echotime.daemon.asking import Asking, EchoAsking, TimeAsking
from echotime.daemon.listeners import Listener
from echotime.daemon.waiting import Dead, waiting
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.servers.echo import EchoFactory
from echotime.servers.health import HealthFactory

LIMIT = 1.0
"""Seconds for a question, and as many to look at a socket whose question was not answered."""
_LOOKS = 10


class Verdict(Enum):
    """What came of it."""

    ANSWERED = "answered"
    UNANSWERED = "not answered"
    """The question did not arrive; the listener may be well."""
    HUNG = "hung"
    """Nobody is served there."""


@dataclass(frozen=True)
class Finding:
    """Of one listener, named as in the log; `seconds` are those until the answer."""

    where: str
    verdict: Verdict
    seconds: float = 0.0
    reason: str = ""

    def __str__(self) -> str:
        if self.verdict is Verdict.ANSWERED:
            return f"{self.where}: answered in {self.seconds * 1000:.1f} ms"
        return f"{self.where}: {self.verdict.value}: {self.reason}"


class HealthCheck:
    """Of these listeners, whose connections are `factory`'s. A check that is under way serves all who ask."""

    def __init__(self, listeners: Sequence[Listener], factory: EchoFactory, reactor: Any) -> None:
        self._listeners = listeners
        self._reactor = reactor
        self._echo = factory.health = HealthFactory(factory)
        self._asking = {each: self._asking_of(each.port) for each in listeners}
        self._running: Deferred[list[Finding]] | None = None
        self._asked_by: list[Deferred[list[Finding]]] = []

    def check(self, limit: float = LIMIT) -> Deferred[list[Finding]]:
        """Fires with a finding for each listener, in their order, after `limit` seconds three times at the most."""
        asked: Deferred[list[Finding]] = Deferred(self._asked_by.remove)
        self._asked_by.append(asked)
        if self._running is None:
            each = [Deferred.fromCoroutine(self._finding(listener, limit)) for listener in self._listeners]
            self._running = gatherResults(each, consumeErrors=True)
            self._running.addBoth(self._finished)
        return asked

    def stop(self) -> None:
        """End a check that is under way: those who asked get CancelledError. Keep nothing for others."""
        if self._running is not None:
            self._running.cancel()
        for each in self._listeners:
            if isinstance(each.port, EchoPort) and each.port.spare is not None:
                each.port.spare.close()

    def _asking_of(self, port: EchoPort | TimePort) -> Asking:
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
        port, asking = listener.port, self._asking[listener]
        began = self._reactor.seconds()
        try:
            waiting(port)
            reason, arrived = await asking.ask(limit)
            if reason and arrived:
                # under load it may have arrived at the last moment
                reason, arrived = await asking.ask(limit)
            if reason and arrived and asking.certain:
                raise Dead(f"a question arrived, and {reason}")
            if not reason:
                asking.forget()
                return Finding(listener.where, Verdict.ANSWERED, self._reactor.seconds() - began)
            await self._taken(port, limit)
            if not waiting(port).number:
                asking.forget()
        except Dead as dead:
            return Finding(listener.where, Verdict.HUNG, reason=str(dead))
        return Finding(listener.where, Verdict.UNANSWERED, reason=reason)

    async def _taken(self, port: EchoPort | TimePort, limit: float) -> None:
        """Look until nothing waits, or something was taken. Raises Dead if that does not come."""
        before = waiting(port)
        for _ in range(_LOOKS):
            if not before.number:
                return
            await deferLater(self._reactor, limit / _LOOKS)
            now = waiting(port)
            if before.moved_on(now):
                return
            before = now
        raise Dead(f"{before.number} {before.what} wait, and none are taken")
