"""Check that the bytes from a server are an exact echo with trailers, for some split of the input into messages.

The client sees streams. It knows what it sent and what it received, but not where the server's messages ended.
So every split that is still possible is followed at once. Usually there is one. Two are possible when the client
sends the trailer itself. Memory is bounded by the bytes in flight between both ends.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE

_FORGET_SIZE = 65536
"""Number of unneeded bytes that makes deleting them worth the copy."""


@dataclass(frozen=True)
class VerifyResult:
    """Describe the first mismatch, or an exact result."""

    wrong_at: int | None
    """Offset of the first wrong byte in the received stream, None if all bytes are correct."""
    lost: int
    """Number of bytes of echo and trailer that are missing before that offset."""
    expected: bytes = b""
    """A byte that would have been correct there, empty for the end of file."""
    found: bytes = b""
    """The byte received there, empty for the end of file."""

    @property
    def exact(self) -> bool:
        return self.wrong_at is None


class _Split(NamedTuple):
    """Describe one possible split of what was received so far."""

    position: int
    """Offset in the received stream up to which this split was followed."""
    messages: int
    """Number of complete messages before it."""
    length: int
    """Length so far of the message that is not complete."""

    @property
    def key(self) -> tuple[int, int, bool]:
        """Identify splits with the same continuations. Of these, only the one with the shortest message is kept."""
        return self.position, self.messages, self.length > 0


class EchoVerifier:
    """Compare what was sent with what was received. Sent bytes must be fed before their echo."""

    def __init__(self, acknowledgement: bytes = ACKNOWLEDGEMENT, reply: bytes = b"") -> None:
        self._trailer = acknowledgement + reply
        self._sent = _StreamWindow()
        self._received = _StreamWindow()
        self._splits = [_Split(0, 0, 0)]
        self.sent_bytes = 0
        self._furthest = VerifyResult(None, 0)

    @property
    def can_still_match(self) -> bool:
        """Return True while all received bytes can be correct."""
        return bool(self._splits)

    def feed_sent(self, data: bytes) -> None:
        """Add bytes that were sent to the server."""
        self.sent_bytes += len(data)
        if self._splits:
            self._sent.append(data)

    def feed_received(self, data: bytes) -> None:
        """Add received bytes. Bytes after the first wrong one are not kept."""
        if self._splits:
            self._received.append(data)
            # an incomplete trailer at the end cannot be distinguished from echo yet
            self._advance(self._received.end - max(len(self._trailer) - 1, 0))

    def finish(self) -> VerifyResult:
        """Return the result, after the server's end of file or when no more is expected."""
        if self._splits:
            self._advance(self._received.end)
        if any(map(self._is_complete, self._splits)):
            return VerifyResult(None, 0)
        for split in self._splits:
            self._record_mismatch(split, split.position)
        return self._furthest

    def _is_complete(self, split: _Split) -> bool:
        return self._echoed_bytes(split) == self._sent.end and (not split.length or not self._trailer)

    def _echoed_bytes(self, split: _Split) -> int:
        return split.position - split.messages * len(self._trailer)

    def _advance(self, limit: int) -> None:
        """Follow every split up to `limit`, in the order of positions. Of splits with equal keys keep the shortest."""
        shortest = {split.key: split for split in self._splits}
        queue = sorted(shortest)
        while queue and queue[0][0] < limit:
            for split in self._next_splits(shortest.pop(heapq.heappop(queue)), limit):
                if split.key not in shortest:
                    heapq.heappush(queue, split.key)
                    shortest[split.key] = split
                elif split.length < shortest[split.key].length:
                    shortest[split.key] = split
        self._splits = list(shortest.values())
        if self._splits:
            self._sent.forget(min(map(self._echoed_bytes, self._splits)))
            # Keep these bytes: the report of a mismatch looks for an incomplete trailer before it.
            self._received.forget(min(each.position for each in self._splits) - len(self._trailer))

    def _next_splits(self, split: _Split, limit: int) -> Iterator[_Split]:
        """Follow the echo up to the next trailer or `limit`. A trailer may also be echo that looks like one."""
        trailer = self._received.find(self._trailer, split.position) if self._trailer else -1
        if trailer == split.position:
            if split.length:
                yield _Split(trailer + len(self._trailer), split.messages + 1, 0)
            trailer = self._received.find(self._trailer, split.position + 1)
        end = limit if trailer < 0 else min(trailer, limit)
        if self._trailer:
            end = min(end, split.position + MESSAGE_SIZE - split.length)
        equal = self._received.equal_bytes(split.position, end, self._sent, self._echoed_bytes(split))
        if split.position + equal < end or not equal:
            self._record_mismatch(split, split.position + equal)
        else:
            yield _Split(end, split.messages, split.length + equal)

    def _record_mismatch(self, split: _Split, offset: int) -> None:
        """Record that the echo of a split ends at `offset`, or earlier if a part of a trailer follows."""
        start = max(split.position - split.length + 1, offset - len(self._trailer) + 1)
        for echo_end in range(start, offset + 1):
            received = self._received.read(echo_end, echo_end + len(self._trailer))
            self._record_furthest(split, echo_end, _common_prefix(received, self._trailer))
        self._record_furthest(split, offset, 0)

    def _record_furthest(self, split: _Split, echo_end: int, trailer_bytes: int) -> None:
        """Keep the mismatch with the highest offset: echo up to `echo_end`, then `trailer_bytes` of the trailer."""
        offset = echo_end + trailer_bytes
        if self._furthest.wrong_at is not None and offset <= self._furthest.wrong_at:
            return
        echoed = self._echoed_bytes(split) + echo_end - split.position
        length = split.length + echo_end - split.position
        is_full = length >= MESSAGE_SIZE and bool(self._trailer)
        expected = b"" if trailer_bytes or is_full else self._sent.read(echoed, echoed + 1)
        if length and not expected:
            expected = self._trailer[trailer_bytes : trailer_bytes + 1]
        lost = max(self._sent.end - echoed + len(self._trailer) - trailer_bytes, 1)
        self._furthest = VerifyResult(offset, lost, expected, self._received.read(offset, offset + 1))


def _common_prefix(one: bytes, other: bytes) -> int:
    """Return the length of the longest common prefix."""
    if one == other:
        return len(one)
    pairs = enumerate(zip(one, other, strict=False))
    return next((count for count, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))


class _StreamWindow:
    """Hold the last part of a stream, addressed by offsets in the whole stream."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._start = 0

    @property
    def end(self) -> int:
        return self._start + len(self._bytes)

    def append(self, data: bytes) -> None:
        self._bytes += data

    def forget(self, before: int) -> None:
        if before - self._start > _FORGET_SIZE:
            del self._bytes[: before - self._start]
            self._start = before

    def read(self, start: int, stop: int) -> bytes:
        return bytes(self._bytes[start - self._start : stop - self._start])

    def find(self, sequence: bytes, start: int) -> int:
        found = self._bytes.find(sequence, start - self._start)
        return found if found < 0 else found + self._start

    def equal_bytes(self, start: int, stop: int, other: _StreamWindow, other_start: int) -> int:
        """Return how many bytes from `start` up to `stop` are equal to those of `other` from `other_start`."""
        return _common_prefix(self.read(start, stop), other.read(other_start, other_start + stop - start))
