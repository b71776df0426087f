"""NoRead: accept the connection, and read nothing."""

from __future__ import annotations

from echotime.behave.tcp.behavior import Fault
from echotime.behave.tcp.timeout import HOLD_TIME
from echotime.sockopt.tcp_info import read_tcp_info
from echotime.wire.connection_end import BY_CLIENT_RESET

POLL_INTERVAL = 1.0
"""Seconds between two looks at the state of the connection, of which a transport that is not read hears nothing."""


class NoRead(Fault):
    """Read nothing, so that the client can send no more when the buffers of both ends are full.

    The connection ends with the client's RST, or 30 seconds after its FIN.
    """

    name = "no_read"
    _fin_at: float | None = None

    def opened(self) -> None:
        self.block_reading(True)
        self.later(POLL_INTERVAL, self._poll)

    def received(self, data: bytes) -> None:
        """Drop what came with the line that chose this behavior."""

    def _poll(self) -> None:
        state = read_tcp_info(self.transport.socket).state
        if state == "CLOSE_WAIT" and self._fin_at is None:
            self._fin_at = self.clock.seconds()
        if state == "CLOSE":
            self.echo.reset(BY_CLIENT_RESET)
        elif self._fin_at is not None and self.clock.seconds() - self._fin_at >= HOLD_TIME:
            self.reset()
        else:
            self.later(POLL_INTERVAL, self._poll)
