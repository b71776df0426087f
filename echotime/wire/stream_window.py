"""Hold the last part of a stream of bytes, and compare it with itself and with another stream."""

from __future__ import annotations

_FORGET_SIZE = 65536
"""Number of unneeded bytes that makes deleting them worth the copy."""


class StreamWindow:
    """Hold the last part of a stream, addressed by offsets in the whole stream."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._start = 0
        self._repeated: dict[int, range] = {}
        """For each period, offsets whose bytes are known to equal those one period later."""

    @property
    def end(self) -> int:
        return self._start + len(self._bytes)

    def append(self, data: bytes) -> None:
        self._bytes += data

    def forget(self, before: int) -> None:
        if before - self._start > _FORGET_SIZE:
            del self._bytes[: before - self._start]
            self._start = before
            self._repeated.clear()

    def read(self, start: int, stop: int) -> bytes:
        return bytes(self._bytes[start - self._start : stop - self._start])

    def find(self, sequence: bytes, start: int, stop: int) -> int:
        """Return the offset of the first `sequence` from `start` that ends before `stop`, or -1."""
        found = self._bytes.find(sequence, start - self._start, stop - self._start)
        return found if found < 0 else found + self._start

    def equal_bytes(self, start: int, stop: int, other: StreamWindow, other_start: int) -> int:
        """Return how many bytes from `start` up to `stop` are equal to those of `other` from `other_start`."""
        return common_prefix(self.read(start, stop), other.read(other_start, other_start + stop - start))

    def repeated_bytes(self, start: int, stop: int, period: int) -> int:
        """Return how many bytes from `start`, at most up to `stop`, equal those one `period` later.

        Calls with the same period and growing offsets compare each byte once.
        """
        known = self._repeated.get(period, range(0))
        if start < known.start <= stop and self._is_repeated(start, known.start, period):
            known = range(start, known.stop)
        elif not known.start <= start <= known.stop:
            known = range(start, start)
        if known.stop < stop:
            known = range(known.start, known.stop + self.equal_bytes(known.stop, stop, self, known.stop + period))
        self._repeated[period] = known
        return min(known.stop, stop) - start

    def _is_repeated(self, start: int, stop: int, period: int) -> bool:
        return self.read(start, stop) == self.read(start + period, stop + period)


def common_prefix(one: bytes, other: bytes) -> int:
    """Return the length of the longest common prefix."""
    if one == other:
        return len(one)
    pairs = enumerate(zip(one, other, strict=False))
    return next((count for count, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))
