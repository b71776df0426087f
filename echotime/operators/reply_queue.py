"""The desk itself: messages that are due a word become questions, and each is settled exactly once.

No terminal and no socket is in here: operators stand behind IOperator.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from zope.interface import Interface, implementer

from echotime.logger import Logger
from echotime.services.replies import IReplySource
from echotime.wire import hostport

_MAX_OUTCOMES = 1000
"""How many settled questions are remembered, for those who answer too late."""


@dataclass(frozen=True)
class PendingMessage:
    """A message (at most 4096 bytes) of a peer (``host:port``), at the desk since that moment of the clock."""

    number: int
    peer: str
    message: bytes
    received_at: float


@dataclass
class ReplyCounters:
    """What became of the messages since the start. Each counts in `asked` or in one of the next three."""

    asked: int = 0
    unattended: int = 0
    """Given the fallback at once, as nobody was there."""
    beyond_limit: int = 0
    """Given the fallback at once, as too many waited already."""
    stopped: int = 0
    """Given the fallback at once, as the daemon was stopping."""
    answered: int = 0
    expired: int = 0
    """Given the fallback at the deadline."""
    abandoned: int = 0
    """The connection ended first."""
    given_up: int = 0
    """Given the fallback when the last operator left or the daemon stopped."""


class IOperator(Interface):
    """Someone who is there to answer."""

    def on_question(question: PendingMessage) -> None:
        """A question came to the desk."""

    def on_settled(question: PendingMessage, how: str) -> None:
        """It is answered or gone; `how` says by whom or why."""


class _TCPAddress(Protocol):
    host: str
    port: int


class AlreadySettled(Exception):
    """The question is not waiting; says what became of it."""


@dataclass(frozen=True)
class QueueLimits:
    """`deadline` is seconds or None; `wait_for_operator` is whether questions wait though no operator is there."""

    max_pending: int = 1000
    max_per_source: int = 10
    deadline: float | None = None
    wait_for_operator: bool = False


@dataclass
class _PendingReply:
    question: PendingMessage
    source: str
    reply: Deferred[bytes]
    expiry: Any = None


@implementer(IReplySource)
class ReplyQueue:
    """A source of words that asks whoever is there. `default_reply` is the word where nobody gives one."""

    constant = None
    _log = Logger()

    def __init__(self, clock: IReactorTime, default_reply: bytes = b"", limits: QueueLimits = QueueLimits()) -> None:
        self.counters = ReplyCounters()
        self._clock = clock
        self.default_reply = default_reply
        self.limits = limits
        self._pending: OrderedDict[int, _PendingReply] = OrderedDict()
        self._sources: Counter[str] = Counter()
        self._operators: list[Any] = []
        self._outcomes: OrderedDict[int, str] = OrderedDict()
        self._last_number = 0
        self._stopping = False

    @property
    def pending(self) -> list[PendingMessage]:
        """Those that wait, the oldest first."""
        return [each.question for each in self._pending.values()]

    @property
    def operator_count(self) -> int:
        """How many are there."""
        return len(self._operators)

    def reply_to(self, message: bytes, peer: IAddress) -> bytes | Deferred[bytes]:
        """Ask, unless nobody is there or too many wait already."""
        address: _TCPAddress = peer  # type: ignore[assignment]  # a TCP address
        if self._stopping:
            self.counters.stopped += 1
        elif not self._operators and not self.limits.wait_for_operator:
            self.counters.unattended += 1
        elif len(self._pending) >= self.limits.max_pending or self._sources[address.host] >= self.limits.max_per_source:
            self.counters.beyond_limit += 1
        else:
            return self._enqueue(message, address)
        return self.default_reply

    def answer(self, number: int, reply: bytes, by: str) -> PendingMessage:
        """Give the word for a question. Raises Settled, which says who was faster."""
        if number not in self._pending:
            raise AlreadySettled(self._outcomes.get(number, "there is no such question"))
        self.counters.answered += 1
        return self._settle(number, reply, f"answered by {by}")

    def attach(self, operator: Any) -> None:
        """Someone (IOperator) is there; is told of the questions that wait."""
        self._operators.append(operator)
        for question in self.pending:
            if question.number in self._pending:
                self._notify(operator, operator.on_question, question)

    def detach(self, operator: Any) -> None:
        """Someone left. After the last, what waits gets the fallback, unless it is to wait."""
        if operator in self._operators:
            self._operators.remove(operator)
        if not self._operators and not self.limits.wait_for_operator:
            self._settle_all("the last operator left")

    def stop(self) -> None:
        """The daemon stops: what waits gets the fallback, and so does all that still comes."""
        self._stopping = True
        self._settle_all("the daemon stopped")

    def _enqueue(self, message: bytes, address: _TCPAddress) -> Deferred[bytes]:
        self._last_number += 1
        number = self._last_number
        reply: Deferred[bytes] = Deferred(lambda cancelled: self._abandoned(number))
        peer = hostport.format_hostport(address.host, address.port)
        pending = _PendingReply(PendingMessage(number, peer, message, self._clock.seconds()), address.host, reply)
        if self.limits.deadline is not None:
            pending.expiry = self._clock.callLater(self.limits.deadline, self._expired, number)
        self._pending[number] = pending
        self._sources[address.host] += 1
        self.counters.asked += 1
        for operator in list(self._operators):
            if number in self._pending:  # a script may have answered at once
                self._notify(operator, operator.on_question, pending.question)
        return reply

    def _notify(self, operator: Any, callback: Callable[..., object], *args: Any) -> None:
        """An operator that fails has left; nobody else may suffer for it."""
        try:
            callback(*args)
        except Exception:
            self._log.failure("an operator failed, and is taken for gone")
            self.detach(operator)

    def _expired(self, number: int) -> None:
        self.counters.expired += 1
        self._settle(number, self.default_reply, "its time was over")

    def _abandoned(self, number: int) -> None:
        if number in self._pending:
            self.counters.abandoned += 1
            self._settle(number, None, "its connection ended")

    def _settle_all(self, reason: str) -> None:
        for number in list(self._pending):
            self.counters.given_up += 1
            self._settle(number, self.default_reply, reason)

    def _settle(self, number: int, reply: bytes | None, how: str) -> PendingMessage:
        """The only way off the desk. `word` is None for a connection that does not want it any more."""
        pending = self._pending.pop(number)
        self._sources[pending.source] -= 1
        if not self._sources[pending.source]:
            del self._sources[pending.source]
        if pending.expiry is not None and pending.expiry.active():
            pending.expiry.cancel()
        self._outcomes[number] = how
        if len(self._outcomes) > _MAX_OUTCOMES:
            self._outcomes.popitem(last=False)
        for operator in list(self._operators):
            self._notify(operator, operator.on_settled, pending.question, how)
        if reply is not None:
            pending.reply.callback(reply)
        return pending.question
