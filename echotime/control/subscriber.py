"""An operator at the control socket who watches: what is pushed to one, and what is left out."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.protocols.amp import Command
from zope.interface import implementer

from echotime.control import commands
from echotime.control.commands import MAX_MESSAGE_BYTES
from echotime.limits.log_rate import LogRateLimiter
from echotime.operators.reply_queue import IOperator, PendingMessage
from echotime.services.traffic import ITrafficObserver

MAX_EVENTS = 100
"""The most events about connections and messages a second that one who watches is told."""


@implementer(IOperator, ITrafficObserver)
class EventSubscriber:
    """Pushes through `protocol` (a ControlProtocol); one that lets more than `max_unsent` bytes pile up is dropped.

    While `paused` nothing is told but questions and what became of them.
    """

    def __init__(self, protocol: Any, clock: IReactorTime, max_unsent: int) -> None:
        self.paused = False
        self._protocol = protocol
        self._max_unsent = max_unsent
        self._event_limiter = LogRateLimiter(MAX_EVENTS, clock, self._report_dropped)

    def on_question(self, question: PendingMessage) -> None:
        """Push a question. Who lets that pile up is no operator."""
        if self._unsent() > self._max_unsent:
            self._protocol.abort(BlockingIOError("it does not read what it watches"))
            return
        self._protocol.callRemote(
            commands.QuestionAsked,
            number=question.number,
            peer=question.peer,
            message=question.message[:MAX_MESSAGE_BYTES],
            size=len(question.message),
        )

    def on_settled(self, question: PendingMessage, how: str) -> None:
        """Push what became of one."""
        if self._unsent() <= self._max_unsent:
            self._protocol.callRemote(commands.QuestionSettled, number=question.number, peer=question.peer, how=how)

    def connection_opened(self, peer: str) -> None:
        """Push a connection's beginning."""
        self._push(commands.ConnectionOpened, peer=peer)

    def message_received(self, peer: str, message: bytes) -> None:
        """Push a message."""
        self._push(commands.MessageReceived, peer=peer, message=message[:MAX_MESSAGE_BYTES], size=len(message))

    def connection_closed(self, peer: str, ended_by: str, bytes_in: int, bytes_out: int) -> None:
        """Push a connection's end."""
        self._push(commands.ConnectionClosed, peer=peer, how=ended_by, bytes_in=bytes_in, bytes_out=bytes_out)

    def _unsent(self) -> int:
        transport = self._protocol.transport
        return 0 if transport is None else len(transport.dataBuffer) + int(transport._tempDataLen)

    def _push(self, command: type[Command], **event: Any) -> None:
        if not self.paused and self._event_limiter.allows():
            self._protocol.callRemote(command, **event)

    def _report_dropped(self, count: int) -> None:
        if not self.paused and self._protocol.transport is not None:
            self._protocol.callRemote(commands.EventsDropped, count=count)
