"""Send events to an operator who watches, on the control socket or the page, and limit how many."""

from __future__ import annotations

import time
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from echotime.control import commands
from echotime.control.commands import MAX_MESSAGE_BYTES, PushedEvent
from echotime.limits.log_rate import LogRateLimiter
from echotime.operators.reply_queue import IOperator, PendingMessage, ReplyQueue
from echotime.services.traffic import ITrafficObserver, TrafficLog
from echotime.wire.json_line import format_utc

MAX_EVENTS = 100
"""Events about connections and messages that are pushed in a second, at most, and as many about datagrams."""
_MAX_UNSENT, _MAX_UNSENT_PER_MESSAGE = 2**20, 2**10
"""Bytes of pending output to an operator who watches, at most, and those added for each question allowed."""


class EventSink(Protocol):
    """Carry events to one operator or viewer."""

    def send_event(self, event: type[PushedEvent], **fields: Any) -> None:
        """Send an event with the fields that it declares."""

    def unsent_bytes(self) -> int:
        """Return the number of bytes of output that are pending."""

    def abort(self, error: BaseException) -> None:
        """Log the error and close the connection."""


def unsent_bytes(transport: Any) -> int:
    """Return the number of bytes that a Twisted transport has not handed to the kernel, 0 if the transport is None."""
    return 0 if transport is None else len(transport.dataBuffer) - transport.offset + int(transport._tempDataLen)


@implementer(IOperator, ITrafficObserver)
class EventSubscriber:
    """Send events to `sink`, and abort it if more than `max_unsent` bytes of its output are pending.

    While it is paused, only questions and their ends are sent. The number of the other events is sent afterwards.
    """

    def __init__(self, sink: EventSink, clock: IReactorTime, max_unsent: int = _MAX_UNSENT) -> None:
        self._paused = False
        self._missed = 0
        """Number of events that were left out since the last pause."""
        self._sink = sink
        self._max_unsent = max_unsent
        self._event_limiter = LogRateLimiter(MAX_EVENTS, clock, self._report_dropped)
        # a limit of their own, because anybody can send datagrams
        self._datagram_limiter = LogRateLimiter(MAX_EVENTS, clock, self._report_dropped)

    def start(self, traffic: TrafficLog, queue: ReplyQueue | None, *, as_operator: bool) -> None:
        """Send events from now on, and be present as an operator if the subscriber is to get questions, too."""
        self._traffic = traffic
        self._queue = queue
        traffic.add_observer(self)
        if as_operator and queue is not None:
            self._max_unsent += queue.limits.max_pending * _MAX_UNSENT_PER_MESSAGE
            queue.attach(self)

    def stop(self) -> None:
        """Send no more events, and be present no more."""
        self._paused = True
        self._traffic.remove_observer(self)
        if self._queue is not None:
            self._queue.detach(self)

    def pause(self) -> None:
        """Leave out events, because the operator does not read."""
        self._paused = True

    def resume(self) -> None:
        """Send events again, after the number of those that were left out."""
        self._paused = False
        missed, self._missed = self._missed, 0
        self._report_dropped(missed)

    def on_question(self, question: PendingMessage) -> None:
        if self._sink.unsent_bytes() > self._max_unsent:
            self._sink.abort(BlockingIOError("the operator does not read events"))
            return
        self._send(
            commands.QuestionAsked,
            number=question.number,
            peer=question.peer,
            message=question.message[:MAX_MESSAGE_BYTES],
            size=len(question.message),
        )

    def on_settled(self, question: PendingMessage, how: str) -> None:
        if self._sink.unsent_bytes() <= self._max_unsent:
            self._send(commands.QuestionSettled, number=question.number, peer=question.peer, how=how)

    def connection_opened(self, number: int, peer: str, via: str) -> None:
        self._push(commands.ConnectionOpened, connection=number, peer=peer, via=via)

    def message_received(self, number: int, peer: str, message: bytes) -> None:
        self._push(
            commands.MessageReceived,
            connection=number,
            peer=peer,
            message=message[:MAX_MESSAGE_BYTES],
            size=len(message),
        )

    def connection_closed(self, number: int, peer: str, via: str, ended_by: str, bytes_in: int, bytes_out: int) -> None:
        self._push(
            commands.ConnectionClosed,
            connection=number,
            peer=peer,
            via=via,
            how=ended_by,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
        )

    def datagram_received(self, peer: str, data: bytes, size: int, outcome: str) -> None:
        if self._paused:
            self._missed += 1
        elif self._datagram_limiter.allows():
            self._send(commands.DatagramReceived, peer=peer, message=data, size=size, outcome=outcome)

    def messages_left_out(self, number: int) -> None:
        self._report_dropped(number)

    def datagrams_left_out(self, number: int) -> None:
        self._report_dropped(number)

    def _push(self, event: type[PushedEvent], **fields: Any) -> None:
        if self._paused:
            self._missed += 1
        elif self._event_limiter.allows():
            self._send(event, **fields)

    def _send(self, event: type[PushedEvent], **fields: Any) -> None:
        self._sink.send_event(event, time=format_utc(time.time()), **fields)

    def _report_dropped(self, count: int) -> None:
        if self._paused:
            self._missed += count
        elif count:
            self._send(commands.EventsDropped, count=count)
