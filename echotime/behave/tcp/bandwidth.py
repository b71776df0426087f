"""Bandwidth: limit the rate at which the client receives."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.tcp.sliced import Sliced
from echotime.behave.values import byte_size

_PIECES_PER_SECOND = 20


class Bandwidth(Sliced):
    """Send at most `rate` bytes per second, in 20 pieces each second. It reads a faster client more slowly."""

    name = "bandwidth"
    rate = Parameter(byte_size(1), 1024, "Bytes per second.")

    def next_size(self) -> int:
        return max(1, self.rate // _PIECES_PER_SECOND)

    def gap_after(self, size: int) -> float:
        return size / self.rate
