"""Describe possible splits of an answer into messages, many of them at once."""

from __future__ import annotations

from operator import attrgetter
from typing import NamedTuple


class Splits(NamedTuple):
    """Describe possible splits of what was received so far, which differ only in the number of messages."""

    position: int
    """Offset in the received stream up to which these splits were followed."""
    fewest: int
    """Lowest number of complete messages before it."""
    numbers: int
    """Possible numbers of complete messages: bit n stands for `fewest` + n. Bit 0 is set."""
    length: int
    """Length so far of the message that is not complete."""

    @property
    def most(self) -> int:
        return self.fewest + self.numbers.bit_length() - 1

    def normalized(self) -> Splits:
        """Return the same splits with bit 0 set."""
        zeros = (self.numbers & -self.numbers).bit_length() - 1
        return self._replace(fewest=self.fewest + zeros, numbers=self.numbers >> zeros) if zeros else self


def shortest(group: list[Splits]) -> list[Splits]:
    """Return the splits with the shortest message for each number of messages, of splits at one position.

    A shorter message can still grow by more bytes. An empty one is kept beside a longer one, because it cannot end yet.
    """
    if len(group) == 1:
        return group
    fewest = min(each.fewest for each in group)
    by_length: dict[int, int] = {}
    longer = 0
    for each in sorted(group, key=attrgetter("length")):
        numbers = each.numbers << (each.fewest - fewest)
        if each.length:
            numbers &= ~longer
            longer |= numbers
        by_length[each.length] = by_length.get(each.length, 0) | numbers
    position = group[0].position
    return [Splits(position, fewest, each, length).normalized() for length, each in by_length.items() if each]


def every_bit(step: int, count: int) -> int:
    """Return an integer with `count` bits set, the lowest one first and each `step` above the one before it."""
    bits, size = 1, 1
    while size < count:
        bits |= bits << size * step
        size *= 2
    return bits & (1 << count * step) - 1
