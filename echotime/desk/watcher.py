"""An operator at the control socket who watches: what is pushed to one, and what is left out."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.protocols.amp import Command
from zope.interface import implementer

from echotime.desk import commands
from echotime.desk.commands import SENT_BYTES
from echotime.desk.questions import IOperator, Question
from echotime.servers.line_limit import LineLimit
from echotime.servers.traffic import ITrafficWatcher

EVENTS = 100
"""The most events about connections and messages a second that one who watches is told."""


@implementer(IOperator, ITrafficWatcher)
class Watcher:
    """Pushes through `control` (a ControlProtocol); one that lets more than `most` bytes pile up is dropped.

    While `full` nothing is told but questions and what became of them.
    """

    def __init__(self, control: Any, clock: IReactorTime, most: int) -> None:
        self.full = False
        self._control = control
        self._most = most
        self._events = LineLimit(EVENTS, clock, self._left_out)

    def asked(self, question: Question) -> None:
        """Push a question. Who lets that pile up is no operator."""
        if self._unsent() > self._most:
            self._control.drop(BlockingIOError("it does not read what it watches"))
            return
        self._control.callRemote(
            commands.Asked,
            number=question.number,
            peer=question.peer,
            message=question.message[:SENT_BYTES],
            size=len(question.message),
        )

    def settled(self, question: Question, how: str) -> None:
        """Push what became of one."""
        if self._unsent() <= self._most:
            self._control.callRemote(commands.SettledNow, number=question.number, peer=question.peer, how=how)

    def began(self, peer: str) -> None:
        """Push a connection's beginning."""
        self._push(commands.Began, peer=peer)

    def message(self, peer: str, message: bytes) -> None:
        """Push a message."""
        self._push(commands.Said, peer=peer, message=message[:SENT_BYTES], size=len(message))

    def ended(self, peer: str, how: str, bytes_in: int, bytes_out: int) -> None:
        """Push a connection's end."""
        self._push(commands.Over, peer=peer, how=how, bytes_in=bytes_in, bytes_out=bytes_out)

    def _unsent(self) -> int:
        transport = self._control.transport
        return 0 if transport is None else len(transport.dataBuffer) + int(transport._tempDataLen)

    def _push(self, command: type[Command], **event: Any) -> None:
        if not self.full and self._events.allows():
            self._control.callRemote(command, **event)

    def _left_out(self, count: int) -> None:
        if not self.full and self._control.transport is not None:
            self._control.callRemote(commands.LeftOut, count=count)
