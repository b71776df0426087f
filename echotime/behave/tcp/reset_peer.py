"""ResetPeer: reset the connection after a number of bytes, or after some time."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.tcp.behavior import Fault
from echotime.behave.values import byte_size, seconds


class ResetPeer(Fault):
    """Send a RST after `bytes` bytes of answers, or `after` seconds, whichever comes first.

    Without both the RST takes the place of the first answer.
    """

    name = "reset_peer"
    limit = Parameter[int | None](byte_size(), None, "Bytes that are sent before the RST.", "no limit", name="bytes")
    after = Parameter[float | None](seconds(), None, "Time from the beginning to the RST.", "no limit")

    def opened(self) -> None:
        if self.after is not None:
            self.later(self.after, self.reset)

    def write(self, data: bytes) -> None:
        limit = 0 if self.limit is None and self.after is None else self.limit
        if limit is None:
            self.send(data)
            return
        self.send(data[: limit - self.bytes_out])
        if self.bytes_out >= limit:
            self.reset()
