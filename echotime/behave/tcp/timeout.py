"""Timeout: take everything that the client sends, and answer nothing."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.tcp.behavior import Fault
from echotime.behave.values import seconds

HOLD_TIME = 30.0
"""Seconds from the client's FIN to the end. A client that has closed its socket would be held forever otherwise."""


class Timeout(Fault):
    """Read everything and answer nothing, not even the client's FIN. 30 seconds after that FIN the connection ends."""

    name = "timeout"
    after = Parameter[float | None](seconds(), None, "Time from the beginning to a FIN of the server.", "never")

    def opened(self) -> None:
        if self.after is not None:
            self.later(self.after, self.end_output)

    def write(self, data: bytes) -> None:
        pass

    def client_ended(self) -> None:
        self.later(HOLD_TIME, self.reset)
