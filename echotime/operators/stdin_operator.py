"""StdinOperator: reply to the questions, in their order, with the lines of standard input."""

from __future__ import annotations

from collections import deque
from typing import Any

from zope.interface import implementer

from echotime.operators.reply_queue import IOperator, PendingMessage, ReplyQueue
from echotime.terminal.descriptors import DescriptorReader

NAME = "the operator's pipe"
_MAX_LINE = 65536
"""Maximum bytes of a line. A longer line is split into several replies."""


@implementer(IOperator)
class StdinOperator:
    """Reply to the next question with each line, without its line end; the bytes are sent unchanged.

    Standard input is read only while a question is pending. At the end of file the operator leaves.
    """

    def __init__(self, queue: ReplyQueue, descriptor: int, reactor: Any) -> None:
        self._queue = queue
        self._lines: deque[bytes] = deque()
        self._partial_line = b""
        self._eof = False
        self._attached = False
        self._input = DescriptorReader(descriptor, self._received, self._on_eof, lambda error: self._on_eof(), reactor)

    def start(self) -> None:
        """Attach to the reply queue."""
        self._attached = True
        self._queue.attach(self)

    def stop(self) -> None:
        """Detach from the reply queue, and leave unread input unread."""
        if self._attached:
            self._attached = False
            self._input.stopReading()
            self._queue.detach(self)

    def on_question(self, question: PendingMessage) -> None:
        """Reply with the next line, or read one."""
        if self._lines:
            self._queue.answer(question.number, self._lines.popleft(), NAME)
        elif self._eof:
            self.stop()
        else:
            self._input.startReading()

    def on_settled(self, question: PendingMessage, how: str) -> None:
        """Stop reading if no question is pending."""
        if not self._queue.pending:
            self._input.stopReading()

    def _received(self, data: bytes) -> None:
        *lines, self._partial_line = (self._partial_line + data).split(b"\n")
        if len(self._partial_line) > _MAX_LINE:
            lines, self._partial_line = [*lines, self._partial_line], b""
        self._lines.extend(lines)
        self._send_replies()

    def _on_eof(self) -> None:
        self._eof = True
        if self._partial_line:
            self._lines.append(self._partial_line)
            self._partial_line = b""
        self._send_replies()
        if self._queue.pending and not self._lines:
            self.stop()

    def _send_replies(self) -> None:
        while self._lines and self._queue.pending:
            self._queue.answer(self._queue.pending[0].number, self._lines.popleft(), NAME)
