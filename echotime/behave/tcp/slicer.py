"""Slicer: cut answers into small segments."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.tcp.sliced import MIN_GAP, Sliced
from echotime.behave.values import byte_size, seconds


class Slicer(Sliced):
    """Send answers in pieces, each as a TCP segment of its own, with a gap between them."""

    name = "slicer"
    size = Parameter(byte_size(1), 64, "Bytes in a piece.")
    variation = Parameter(byte_size(), 0, "Maximum variation of the size, up or down.")
    gap = Parameter(seconds(MIN_GAP), 0.01, "Pause after each piece.")

    def next_size(self) -> int:
        return max(1, self.size + self.random.randint(-self.variation, self.variation))

    def gap_after(self, size: int) -> float:
        return self.gap
