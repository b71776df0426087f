"""DuplicateAck: send two acknowledgements for each message."""

from __future__ import annotations

from echotime.behave.tcp.behavior import Fault
from echotime.services.answer_text import render


class DuplicateAck(Fault):
    """Send the acknowledgement twice after each echo."""

    name = "duplicate_ack"
    _echo_bytes = 0
    """Length of the message whose echo comes next, 0 after the echo."""

    def received(self, data: bytes) -> None:
        self._echo_bytes = len(data)
        super().received(data)

    def write(self, data: bytes) -> None:
        size, self._echo_bytes = self._echo_bytes, 0
        extra = render(self.echo.factory.acknowledgement, self.echo) if size else b""
        self.send(data[:size] + extra + data[size:])
