"""PresenceSwitch: use the reply queue only while messages can be questions.

At all other times the factory sends the constant reply by itself, as fast as a daemon without operators, and reads
large. A daemon with a control socket is mostly in that state.
"""

from __future__ import annotations

from echotime.operators.reply_queue import ReplyQueue
from echotime.services.echo_factory import EchoFactory
from echotime.wire.template import Text


class PresenceSwitch:
    """Give `factory` the reply source `queue` while it wants questions, and otherwise the constant reply.

    The messages that get the constant reply meanwhile are the difference of two totals, so each costs nothing.
    """

    def __init__(self, factory: EchoFactory, queue: ReplyQueue) -> None:
        self._factory = factory
        self._queue = queue
        self._acknowledgement: Text = b""
        self._reply: Text = b""
        self._counted = 0
        self._counted_from: int | None = None
        """Messages of the factory when it began to reply by itself, None while the queue replies."""
        queue.on_presence = self._update
        queue.count_unattended = self._count

    def configure(self, acknowledgement: Text, reply: Text) -> None:
        """Change the texts, and apply the present state of the queue."""
        self._acknowledgement, self._reply = acknowledgement, reply
        self._update()

    def _update(self) -> None:
        wants = self._queue.wants_questions
        if wants and self._counted_from is not None:
            self._counted, self._counted_from = self._count(), None
        elif not wants and self._counted_from is None:
            self._counted_from = self._factory.counters().messages
        self._factory.set_reply(self._acknowledgement, self._queue if wants else None, self._reply)

    def _count(self) -> int:
        if self._counted_from is None:
            return self._counted
        return self._counted + self._factory.counters().messages - self._counted_from
