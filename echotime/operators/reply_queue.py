"""ReplyQueue: hold the messages that await an operator's reply, and settle each exactly once.

Operators attach through IOperator, be they at a terminal, on standard input, or on the control socket.
"""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from zope.interface import Interface, implementer

from echotime.counters import ReplyCounters
from echotime.limits.log_rate import LogRateLimiter
from echotime.limits.source import source_key
from echotime.logger import Logger
from echotime.services.replies import IReplySource
from echotime.services.traffic import MAX_LOGGED_BYTES
from echotime.wire import hostport
from echotime.wire.escape import preview
from echotime.wire.template import Text

_MAX_OUTCOMES = 1000
"""Number of settled questions whose outcome is kept, to tell it to operators who answer too late."""


@dataclass(frozen=True)
class PendingMessage:
    """Hold a message (at most 4096 bytes) of a peer (``host:port``) and the time at which it was received."""

    number: int
    peer: str
    message: bytes
    received_at: float


class IOperator(Interface):
    """Reply to questions while attached to a ReplyQueue."""

    def on_question(question: PendingMessage) -> None:
        """Handle a new question, or one that was pending at the attach."""

    def on_settled(question: PendingMessage, how: str) -> None:
        """Handle the end of a question. `how` names who answered it, or why it was removed."""


class _TCPAddress(Protocol):
    host: str
    port: int


class AlreadySettled(Exception):
    """Report that a question is not pending, and its outcome."""


@dataclass(frozen=True)
class QueueLimits:
    """Limit how many questions are pending, and how long."""

    max_pending: int = sys.maxsize
    max_per_source: int = sys.maxsize
    deadline: float | None = None
    """Seconds until a question gets the default reply. None for no deadline."""
    wait_for_operator: bool = False
    """True if questions are pending while no operator is attached."""


@dataclass
class _PendingReply:
    question: PendingMessage
    source: str
    reply: Deferred[Text]
    expiry: IDelayedCall | None = None


@implementer(IReplySource)
class ReplyQueue:
    """Reply to messages by asking the attached operators. `default_reply` is the reply if none of them gives one."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, default_reply: Text = b"", limits: QueueLimits = QueueLimits()) -> None:
        self._counters = ReplyCounters()
        self._clock = clock
        self.default_reply = default_reply
        self.limits = limits
        self.log_answers = True
        """False while all answers are given, and so shown, on the terminal that shows the log."""
        self._answer_limiter = LogRateLimiter(0, clock, self._report_left_out)
        self._pending: OrderedDict[int, _PendingReply] = OrderedDict()
        self._sources: Counter[str] = Counter()
        self._operators: list[IOperator] = []
        self._outcomes: OrderedDict[int, str] = OrderedDict()
        self._last_number = 0
        self._stopping = False
        self.on_presence: Callable[[], object] = lambda: None
        """Called when `wants_questions` may have changed."""
        self.count_unattended: Callable[[], int] = lambda: 0
        """Returns how many messages were not passed to the queue, because it wanted none."""

    @property
    def counters(self) -> ReplyCounters:
        """Return the counters, including messages that were not passed to the queue."""
        return replace(self._counters, unattended=self._counters.unattended + self.count_unattended())

    @property
    def wants_questions(self) -> bool:
        """Return False while every message gets the default reply, because no operator is present."""
        return bool(self._operators) or self.limits.wait_for_operator or self._stopping

    @property
    def pending(self) -> list[PendingMessage]:
        """Return the pending questions, the oldest first."""
        return [each.question for each in self._pending.values()]

    @property
    def operator_count(self) -> int:
        return len(self._operators)

    def reply_to(self, message: bytes, peer: IAddress) -> Text | Deferred[Text]:
        """Enqueue a message, or return the default reply if no operator is attached or too many are pending."""
        address: _TCPAddress = peer  # type: ignore[assignment]  # a TCP address
        if self._stopping:
            self._counters.stopped += 1
        elif not self._operators and not self.limits.wait_for_operator:
            self._counters.unattended += 1
        elif self._is_full_for(source := source_key(address.host)):
            self._counters.beyond_limit += 1
        else:
            return self._enqueue(message, address, source)
        return self.default_reply

    def _is_full_for(self, source: str) -> bool:
        return len(self._pending) >= self.limits.max_pending or self._sources[source] >= self.limits.max_per_source

    def answer(self, number: int, reply: bytes, by: str) -> PendingMessage:
        """Reply to a question and return it. Raises AlreadySettled, with the outcome, if it is not pending."""
        if number not in self._pending:
            raise AlreadySettled(self._outcomes.get(number, "there is no such question"))
        self._counters.answered += 1
        if self.log_answers and self._answer_limiter.allows():
            self._log.info(
                "question {number} of {peer} answered by {operator}: {reply}",
                number=number,
                peer=self._pending[number].question.peer,
                operator=by,
                reply=preview(reply, MAX_LOGGED_BYTES),
            )
        return self._settle(number, reply, f"answered by {by}")

    def set_log_rate(self, rate: int) -> None:
        """Log at most `rate` answers of operators in a second from now on, none if it is 0."""
        self._answer_limiter.set_max_lines(rate)

    def attach(self, operator: IOperator) -> None:
        """Add an operator, and pass it the pending questions."""
        self._operators.append(operator)
        self.on_presence()
        for question in self.pending:
            if question.number in self._pending:
                self._notify(operator, operator.on_question, question)

    def detach(self, operator: IOperator) -> None:
        """Remove an operator. After the last one, pending questions get the default reply unless they are to wait."""
        if operator in self._operators:
            self._operators.remove(operator)
        self._settle_unattended("the last operator left")
        self.on_presence()

    def configure(self, default_reply: Text, limits: QueueLimits) -> None:
        """Change the default reply and the limits. A changed deadline applies to pending questions, too."""
        self.default_reply = default_reply
        if limits.deadline != self.limits.deadline:
            for pending in self._pending.values():
                self._schedule_expiry(pending, limits.deadline)
        self.limits = limits
        self._settle_unattended("no operator is present")
        self.on_presence()

    def stop(self) -> None:
        """Give the default reply to all pending questions, and to all messages from now on."""
        self._stopping = True
        self.on_presence()
        self._settle_all("the daemon stopped")
        self._answer_limiter.flush()

    def _enqueue(self, message: bytes, address: _TCPAddress, source: str) -> Deferred[Text]:
        self._last_number += 1
        number = self._last_number
        reply: Deferred[Text] = Deferred(lambda cancelled: self._abandoned(number))
        peer = hostport.format_hostport(address.host, address.port)
        pending = _PendingReply(PendingMessage(number, peer, message, self._clock.seconds()), source, reply)
        self._schedule_expiry(pending, self.limits.deadline)
        self._pending[number] = pending
        self._sources[source] += 1
        self._counters.queued += 1
        for operator in list(self._operators):
            if number in self._pending:  # a script may have answered at once
                self._notify(operator, operator.on_question, pending.question)
        return reply

    def _notify(self, operator: IOperator, callback: Callable[..., object], *args: Any) -> None:
        """Call an operator, and detach it if it raises, so that it cannot affect the others."""
        try:
            callback(*args)
        except Exception:
            self._log.failure("operator failed: detached")
            self.detach(operator)

    def _schedule_expiry(self, pending: _PendingReply, deadline: float | None) -> None:
        """Let a question expire `deadline` seconds after it was received, at any other time no more."""
        if pending.expiry is not None:
            pending.expiry.cancel()
            pending.expiry = None
        if deadline is not None:
            delay = max(0, pending.question.received_at + deadline - self._clock.seconds())
            pending.expiry = self._clock.callLater(delay, self._expired, pending.question.number)

    def _report_left_out(self, number: int) -> None:
        if number:
            self._log.info("answer lines left out in the last second: {number}", number=number)

    def _settle_unattended(self, reason: str) -> None:
        if not self._operators and not self.limits.wait_for_operator:
            self._settle_all(reason)

    def _expired(self, number: int) -> None:
        self._counters.expired += 1
        self._settle(number, self.default_reply, "deadline expired")

    def _abandoned(self, number: int) -> None:
        if number in self._pending:
            self._counters.abandoned += 1
            self._settle(number, None, "connection ended")

    def _settle_all(self, reason: str) -> None:
        for number in list(self._pending):
            self._counters.given_up += 1
            self._settle(number, self.default_reply, reason)

    def _settle(self, number: int, reply: Text | None, how: str) -> PendingMessage:
        """Remove a question; nothing else does. `reply` is None if the connection has ended."""
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
