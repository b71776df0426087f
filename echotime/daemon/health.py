"""Whether every listener serves: a real question to each, from within, and what to make of one that is not answered.

A question that never arrives says nothing of the daemon: a listener may be bound to a device, firewalled, or live in a
network that the daemon itself is shut out of. So a listener is called deaf, which is what a restart cures, only if its
socket is dead, or if what waits in it is not taken; that is looked at where a question is not answered.
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

from echotime.daemon.listeners import Listener
from echotime.daemon.own_question import Address, EchoQuestion, Expect, TimeQuestion, Unanswered
from echotime.daemon.waiting import Dead, waiting
from echotime.ports.asked_address import is_ours
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.servers.echo import EchoFactory
from echotime.servers.health import HealthFactory
from echotime.wire.timestamp import SIZE

LIMIT = 1.0
"""Seconds for a question, and as many to look at a socket whose question was not answered."""
_MESSAGE = b"health check"
_LOOKS = 10
_LATE = 100
"""The most questions to a deaf listener that are remembered."""


class Verdict(Enum):
    """What came of it."""

    ANSWERED = "answered"
    UNREACHED = "not reached"
    """The question did not arrive; the listener may be well."""
    DEAF = "deaf"
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
        self._asked_from: dict[EchoPort | TimePort, list[Address]] = {}
        """What is not answered may still be taken when nobody waits for it any more, and is no client's then either."""
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
        """End a check that is under way: those who asked get CancelledError."""
        if self._running is not None:
            self._running.cancel()

    def _finished(self, result: Any) -> None:
        self._running = None
        if isinstance(result, Failure) and isinstance(result.value, FirstError):
            result = result.value.subFailure
        asked_by, self._asked_by = self._asked_by, []
        for each in asked_by:
            each.callback(result)

    async def _finding(self, listener: Listener, limit: float) -> Finding:
        port = listener.port
        self._forget(port, _LATE)
        began = self._reactor.seconds()
        try:
            waiting(port)
            reason, arrived = await self._ask(port, limit)
            if reason and arrived:
                # under load it may have arrived at the last moment
                reason, arrived = await self._ask(port, limit)
            if reason and arrived:
                raise Dead(f"a question arrived, and {reason}")
            if not reason:
                self._forget(port)
                return Finding(listener.where, Verdict.ANSWERED, self._reactor.seconds() - began)
            await self._taken(port, limit)
            if not waiting(port).number:
                self._forget(port)
        except Dead as dead:
            return Finding(listener.where, Verdict.DEAF, reason=str(dead))
        return Finding(listener.where, Verdict.UNREACHED, reason=reason)

    async def _ask(self, port: EchoPort | TimePort, limit: float) -> tuple[str, bool]:
        """Why a question was not answered by this port, empty if it was; and whether it has arrived."""
        if port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
            return "other sockets may share its port, and would be asked instead", False
        source: Address | None = None

        def expect(address: Address) -> None:
            nonlocal source
            source = address
            self._asked_from.setdefault(port, []).append(address)
            self._own(port).expect(address)

        reason = ""
        try:
            if not await self._answered(port, expect, limit):
                reason = "the answer is wrong"
        except Unanswered as unanswered:
            reason = str(unanswered)
        arrived = source is not None and self._own(port).arrived(source)
        return reason if reason or arrived else "another socket has answered", arrived

    def _own(self, port: EchoPort | TimePort) -> Any:
        """What the questions to a port have to be known to."""
        return self._echo.own if isinstance(port, EchoPort) else port.protocol.own

    def _forget(self, port: EchoPort | TimePort, keep: int = 0) -> None:
        """Expect no question there any more, but for the last: earlier ones have been taken, or never will be."""
        asked_from = self._asked_from.get(port, [])
        while len(asked_from) > keep:
            self._own(port).forget(asked_from.pop(0))

    async def _answered(self, port: EchoPort | TimePort, expect: Expect, limit: float) -> bool:
        """Whether the answer to a question is what it has to be. Raises Unanswered."""
        address = _address(port)
        if isinstance(port, EchoPort):
            owed = _MESSAGE + self._echo.after_each
            return await EchoQuestion(_MESSAGE, len(owed)).ask(self._reactor, address, expect, limit) == owed
        return len(await TimeQuestion(self._reactor, address).ask(expect, limit)) == SIZE

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


def _address(port: EchoPort | TimePort) -> Address:
    """Where to ask it: a specific address by itself, a wildcard by loopback."""
    where = port.getHost()
    if where.host == "::":
        return ("::1" if is_ours(("::1", 0), port.socket) else "127.0.0.1"), where.port
    return ("127.0.0.1" if where.host == "0.0.0.0" else where.host), where.port
