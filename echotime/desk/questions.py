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
from twisted.logger import Logger
from zope.interface import Interface, implementer

from echotime.servers.replies import IReplySource
from echotime.wire import hostport

_REMEMBERED = 1000
"""How many settled questions are remembered, for those who answer too late."""


@dataclass(frozen=True)
class Question:
    """A message (at most 4096 bytes) of a peer (``host:port``), at the desk since that moment of the clock."""

    number: int
    peer: str
    message: bytes
    since: float


@dataclass
class DeskCounters:
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

    def asked(question: Question) -> None:
        """A question came to the desk."""

    def settled(question: Question, how: str) -> None:
        """It is answered or gone; `how` says by whom or why."""


class _Host(Protocol):
    host: str
    port: int


class Settled(Exception):
    """The question is not waiting; says what became of it."""


@dataclass(frozen=True)
class Limits:
    """`deadline` is seconds or None; `waits` is whether questions wait though no operator is there."""

    most: int = 1000
    per_source: int = 10
    deadline: float | None = None
    waits: bool = False


@dataclass
class _Waiting:
    question: Question
    source: str
    word: Deferred[bytes]
    expiry: Any = None


@implementer(IReplySource)
class Desk:
    """A source of words that asks whoever is there. `fallback` is the word where nobody gives one."""

    always = None
    _log = Logger()

    def __init__(self, clock: IReactorTime, fallback: bytes = b"", limits: Limits = Limits()) -> None:
        self.counters = DeskCounters()
        self._clock = clock
        self.fallback = fallback
        self.limits = limits
        self._waiting: OrderedDict[int, _Waiting] = OrderedDict()
        self._sources: Counter[str] = Counter()
        self._operators: list[Any] = []
        self._settled: OrderedDict[int, str] = OrderedDict()
        self._number = 0
        self._stopping = False

    @property
    def questions(self) -> list[Question]:
        """Those that wait, the oldest first."""
        return [each.question for each in self._waiting.values()]

    @property
    def operators(self) -> int:
        """How many are there."""
        return len(self._operators)

    def word_for(self, message: bytes, peer: IAddress) -> bytes | Deferred[bytes]:
        """Ask, unless nobody is there or too many wait already."""
        address: _Host = peer  # type: ignore[assignment]  # a TCP address
        if self._stopping:
            self.counters.stopped += 1
        elif not self._operators and not self.limits.waits:
            self.counters.unattended += 1
        elif len(self._waiting) >= self.limits.most or self._sources[address.host] >= self.limits.per_source:
            self.counters.beyond_limit += 1
        else:
            return self._ask(message, address)
        return self.fallback

    def answer(self, number: int, word: bytes, by: str) -> Question:
        """Give the word for a question. Raises Settled, which says who was faster."""
        if number not in self._waiting:
            raise Settled(self._settled.get(number, "there is no such question"))
        self.counters.answered += 1
        return self._settle(number, word, f"answered by {by}")

    def join(self, operator: Any) -> None:
        """Someone (IOperator) is there; is told of the questions that wait."""
        self._operators.append(operator)
        for question in self.questions:
            if question.number in self._waiting:
                self._tell(operator, operator.asked, question)

    def leave(self, operator: Any) -> None:
        """Someone left. After the last, what waits gets the fallback, unless it is to wait."""
        if operator in self._operators:
            self._operators.remove(operator)
        if not self._operators and not self.limits.waits:
            self._give_up("the last operator left")

    def stop(self) -> None:
        """The daemon stops: what waits gets the fallback, and so does all that still comes."""
        self._stopping = True
        self._give_up("the daemon stopped")

    def _ask(self, message: bytes, address: _Host) -> Deferred[bytes]:
        self._number += 1
        number = self._number
        word: Deferred[bytes] = Deferred(lambda cancelled: self._abandoned(number))
        peer = hostport.joined(address.host, address.port)
        waiting = _Waiting(Question(number, peer, message, self._clock.seconds()), address.host, word)
        if self.limits.deadline is not None:
            waiting.expiry = self._clock.callLater(self.limits.deadline, self._expired, number)
        self._waiting[number] = waiting
        self._sources[address.host] += 1
        self.counters.asked += 1
        for operator in list(self._operators):
            if number in self._waiting:  # a script may have answered at once
                self._tell(operator, operator.asked, waiting.question)
        return word

    def _tell(self, operator: Any, what: Callable[..., object], *said: Any) -> None:
        """An operator that fails has left; nobody else may suffer for it."""
        try:
            what(*said)
        except Exception:
            self._log.failure("an operator failed, and is taken for gone")
            self.leave(operator)

    def _expired(self, number: int) -> None:
        self.counters.expired += 1
        self._settle(number, self.fallback, "its time was over")

    def _abandoned(self, number: int) -> None:
        if number in self._waiting:
            self.counters.abandoned += 1
            self._settle(number, None, "its connection ended")

    def _give_up(self, why: str) -> None:
        for number in list(self._waiting):
            self.counters.given_up += 1
            self._settle(number, self.fallback, why)

    def _settle(self, number: int, word: bytes | None, how: str) -> Question:
        """The only way off the desk. `word` is None for a connection that does not want it any more."""
        waiting = self._waiting.pop(number)
        self._sources[waiting.source] -= 1
        if not self._sources[waiting.source]:
            del self._sources[waiting.source]
        if waiting.expiry is not None and waiting.expiry.active():
            waiting.expiry.cancel()
        self._settled[number] = how
        if len(self._settled) > _REMEMBERED:
            self._settled.popitem(last=False)
        for operator in list(self._operators):
            self._tell(operator, operator.settled, waiting.question, how)
        if word is not None:
            waiting.word.callback(word)
        return waiting.question
