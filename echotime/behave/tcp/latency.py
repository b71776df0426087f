"""Latency: delay what the client receives."""

from __future__ import annotations

from collections import deque
from typing import Any

from echotime.behave.spec import Parameter
from echotime.behave.tcp.behavior import Fault
from echotime.behave.values import seconds

MAX_ANSWERS = 256
"""Answers that wait at a time. Later ones join the last, so that tiny answers do not take much memory."""


class Latency(Fault):
    """Delay each answer, and the FIN that follows. The order stays, so an answer may delay the next one."""

    name = "latency"
    delay = Parameter(seconds(), 0.1, "Time that an answer is delayed.")
    jitter = Parameter(seconds(), 0.0, "Maximum variation of the delay, up or down.")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._answers: deque[tuple[float, bytearray]] = deque()
        """What waits, with the time at which it is sent."""
        self._due = 0.0

    def write(self, data: bytes) -> None:
        delay = max(0.0, self.delay + self.random.uniform(-self.jitter, self.jitter))
        self._due = max(self._due, self.clock.seconds() + delay)
        if len(self._answers) < MAX_ANSWERS:
            self._answers.append((self._due, bytearray(data)))
        else:
            waiting = self._answers.pop()[1]
            waiting += data
            self._answers.append((self._due, waiting))
        self.held += len(data)
        if len(self._answers) == 1:
            self._schedule()

    def _schedule(self) -> None:
        self.later(max(0.0, self._answers[0][0] - self.clock.seconds()), self._send_first)

    def _send_first(self) -> None:
        data = bytes(self._answers.popleft()[1])
        if self._answers:
            self._schedule()
        self.send(data)
        self.held -= len(data)
