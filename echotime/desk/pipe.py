"""An operator that is a script: a word a line from standard input, in the order of the questions."""

from __future__ import annotations

from collections import deque
from typing import Any

from zope.interface import implementer

from echotime.desk.questions import Desk, IOperator, Question
from echotime.streams.descriptors import Input

NAME = "the operator's pipe"
_LONGEST = 65536
"""Bytes of a line that has no end yet; then it is taken for a word as it is."""


@implementer(IOperator)
class PipeOperator:
    """Each line, without its end, is the word for the next question. It is read only while a question waits.

    The bytes are sent as they are. At the end of the file the operator leaves.
    """

    def __init__(self, desk: Desk, descriptor: int, reactor: Any) -> None:
        self._desk = desk
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._over = False
        self._here = False
        self._input = Input(descriptor, self._received, self._ended, self._failed, reactor)

    def start(self) -> None:
        """Be there."""
        self._here = True
        self._desk.join(self)

    def stop(self) -> None:
        """Leave; what is not read yet stays unread."""
        if self._here:
            self._here = False
            self._input.stopReading()
            self._desk.leave(self)

    def asked(self, question: Question) -> None:
        """Answer it with the next line, or read on."""
        if self._lines:
            self._desk.answer(question.number, self._lines.popleft(), NAME)
        elif self._over:
            self.stop()
        else:
            self._input.startReading()

    def settled(self, question: Question, how: str) -> None:
        """Nobody waits: nothing needs to be read."""
        if not self._desk.questions:
            self._input.stopReading()

    def _received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines, self._rest = [*lines, self._rest], b""
        self._lines.extend(lines)
        self._answer()

    def _ended(self) -> None:
        self._over = True
        if self._rest:
            self._lines.append(self._rest)
            self._rest = b""
        self._answer()
        if self._desk.questions and not self._lines:
            self.stop()

    def _failed(self, error: OSError) -> None:
        self._ended()

    def _answer(self) -> None:
        while self._lines and self._desk.questions:
            self._desk.answer(self._desk.questions[0].number, self._lines.popleft(), NAME)
