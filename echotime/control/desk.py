"""ReplyDesk: list pending questions and deliver replies, for operators at the control socket and at the page."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from echotime.control.commands import MAX_MESSAGE_BYTES, PAGE_SIZE, CommandError, Rows
from echotime.counters import values
from echotime.operators.reply_queue import AlreadySettled, PendingMessage, ReplyQueue


class ReplyDesk:
    """Work on the reply queue on behalf of operators. `queue` is None if the daemon can have no operator."""

    def __init__(self, queue: ReplyQueue | None, clock: IReactorTime) -> None:
        self.queue = queue
        self._clock = clock

    @property
    def pending(self) -> list[PendingMessage]:
        """Return the pending questions, the oldest first."""
        return [] if self.queue is None else self.queue.pending

    def status(self) -> dict[str, int]:
        """Return the fields of commands.Status about questions and operators."""
        operators = 0 if self.queue is None else self.queue.operator_count
        return {"questions": len(self.pending), "operators": operators}

    def questions(self, after: int, limit: int = PAGE_SIZE) -> tuple[Rows, bool]:
        """Return at most `limit` questions with numbers above `after`, and True if there are more."""
        pending = [each for each in self.pending if each.number > after]
        now = self._clock.seconds()
        rows: Rows = [
            {
                "number": each.number,
                "peer": each.peer,
                "message": each.message[:MAX_MESSAGE_BYTES],
                "size": len(each.message),
                "age": now - each.received_at,
            }
            for each in pending[:limit]
        ]
        return rows, len(pending) > limit

    def answer(self, number: int, reply: bytes, by: str) -> str:
        """Reply to a question in the name of an operator, and return its peer. Raises CommandError."""
        if self.queue is None:
            raise CommandError("no question is pending")
        try:
            return self.queue.answer(number, reply, by).peer
        except AlreadySettled as settled:
            raise CommandError(f"question {number}: {settled}") from None

    def counters(self) -> Rows:
        """Return the counters of the questions."""
        if self.queue is None:
            return []
        return [{"name": name, "value": value} for name, value in values(self.queue.counters)]
