"""Trickle: send one byte at a time."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.tcp.sliced import MIN_GAP, Sliced
from echotime.behave.values import seconds


class Trickle(Sliced):
    """Send answers one byte at a time, with a gap between them."""

    name = "trickle"
    gap = Parameter(seconds(MIN_GAP), 0.1, "Pause after each byte.")

    def next_size(self) -> int:
        return 1

    def gap_after(self, size: int) -> float:
        return self.gap
