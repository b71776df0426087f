"""LateReply: send the echo at once, and what follows it later."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.tcp.behavior import Fault
from echotime.behave.values import seconds


class LateReply(Fault):
    """Send the echo of a message at once, and acknowledgement and reply after `delay`, also after the client's FIN.

    Nothing is read in the meantime, as while an operator's reply is awaited.
    """

    name = "late_reply"
    delay = Parameter(seconds(), 1.0, "Time from the echo to what follows it.")
    _echo_bytes = 0
    """Bytes of the echo of the present message that are not written yet."""

    def received(self, data: bytes) -> None:
        self._echo_bytes = len(data)
        super().received(data)

    def write(self, data: bytes) -> None:
        echo, rest = data[: self._echo_bytes], data[self._echo_bytes :]
        self._echo_bytes -= len(echo)
        if echo:
            self.send(echo)
        if rest:
            self.held += len(rest)
            self.block_reading(True)
            self.later(self.delay, self._send_held, rest)

    def _send_held(self, data: bytes) -> None:
        self.send(data)
        self.held -= len(data)
        if not self.held:
            self.block_reading(False)
