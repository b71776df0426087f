"""Push events to an operator who watches, and limit how many."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.protocols.amp import Command
from zope.interface import implementer

from echotime.control import commands
from echotime.control.commands import MAX_MESSAGE_BYTES
from echotime.limits.log_rate import LogRateLimiter
from echotime.operators.reply_queue import IOperator, PendingMessage
from echotime.services.traffic import ITrafficObserver

MAX_EVENTS = 100
"""Events about connections and messages that are pushed in a second, at most, and as many about datagrams."""


class Pusher(Protocol):
    """The AMP connection to an operator."""

    transport: Any

    def callRemote(self, *args: Any, **kwargs: Any) -> Any:
        """Send an AMP command to the operator."""

    def abort(self, error: BaseException) -> None:
        """Log the error and close the connection."""


@implementer(IOperator, ITrafficObserver)
class EventSubscriber:
    """Push events through `protocol`, and close it if more than `max_unsent` bytes of output are pending.

    While `paused`, only questions and their ends are pushed.
    """

    def __init__(self, protocol: Pusher, clock: IReactorTime, max_unsent: int) -> None:
        self.paused = False
        self._protocol = protocol
        self._max_unsent = max_unsent
        self._event_limiter = LogRateLimiter(MAX_EVENTS, clock, self._report_dropped)
        # a limit of their own, because anybody can send datagrams
        self._datagram_limiter = LogRateLimiter(MAX_EVENTS, clock, self._report_dropped)

    def on_question(self, question: PendingMessage) -> None:
        if self._unsent() > self._max_unsent:
            self._protocol.abort(BlockingIOError("the operator does not read events"))
            return
        self._protocol.callRemote(
            commands.QuestionAsked,
            number=question.number,
            peer=question.peer,
            message=question.message[:MAX_MESSAGE_BYTES],
            size=len(question.message),
        )

    def on_settled(self, question: PendingMessage, how: str) -> None:
        if self._unsent() <= self._max_unsent:
            self._protocol.callRemote(commands.QuestionSettled, number=question.number, peer=question.peer, how=how)

    def connection_opened(self, peer: str, via: str) -> None:
        self._push(commands.ConnectionOpened, peer=peer, via=via)

    def message_received(self, peer: str, message: bytes) -> None:
        self._push(commands.MessageReceived, peer=peer, message=message[:MAX_MESSAGE_BYTES], size=len(message))

    def connection_closed(self, peer: str, via: str, ended_by: str, bytes_in: int, bytes_out: int) -> None:
        self._push(commands.ConnectionClosed, peer=peer, via=via, how=ended_by, bytes_in=bytes_in, bytes_out=bytes_out)

    def datagram_received(self, peer: str, data: bytes, size: int, outcome: str) -> None:
        if not self.paused and self._datagram_limiter.allows():
            self._protocol.callRemote(commands.DatagramReceived, peer=peer, message=data, size=size, outcome=outcome)

    def datagrams_left_out(self, number: int) -> None:
        self._report_dropped(number)

    def _unsent(self) -> int:
        transport = self._protocol.transport
        return 0 if transport is None else len(transport.dataBuffer) + int(transport._tempDataLen)

    def _push(self, command: type[Command], **event: Any) -> None:
        if not self.paused and self._event_limiter.allows():
            self._protocol.callRemote(command, **event)

    def _report_dropped(self, count: int) -> None:
        if count and not self.paused and self._protocol.transport is not None:
            self._protocol.callRemote(commands.EventsDropped, count=count)
