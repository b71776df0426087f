"""Whether what a server sent back is exactly what the wire contract owes, for some split into messages.

The client sees streams: it knows what it sent and what came back, not where the server's messages ended. So
every split that is still possible is followed at once. Usually that is one; a client that sends the
acknowledgement as its message makes it two. Memory is bounded by what is under way between both ends.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE


@dataclass(frozen=True)
class VerifyResult:
    """`wrong_at` is the offset in the answer where it first cannot be right, None where all of it is.

    `lost` is how many bytes of echo, acknowledgement or word have not come before that.
    """

    wrong_at: int | None
    lost: int
    expected: bytes = b""
    """What could have stood there; empty for the end of file."""
    found: bytes = b""
    """What stood there; empty for the end of file."""

    @property
    def exact(self) -> bool:
        """Whether all is as it should be."""
        return self.wrong_at is None


@dataclass(frozen=True, order=True)
class _Split:
    """One possibility: how far the answer was followed, how many messages it had, the last one's length so far."""

    position: int
    messages: int
    length: int


class EchoVerifier:
    """Fed with what was sent and what came back, as it happens; what was sent must be fed first."""

    def __init__(self, acknowledgement: bytes = ACKNOWLEDGEMENT, reply: bytes = b"") -> None:
        self._trailer = acknowledgement + reply
        self._sent = _StreamWindow()
        self._received = _StreamWindow()
        self._splits = {_Split(0, 0, 0)}
        self.sent_bytes = 0
        self._furthest = VerifyResult(None, 0)

    @property
    def can_still_match(self) -> bool:
        """Whether what came so far can still be right."""
        return bool(self._splits)

    def feed_sent(self, data: bytes) -> None:
        """Bytes on their way to the server."""
        self.sent_bytes += len(data)
        if self._splits:
            self._sent.append(data)

    def feed_received(self, data: bytes) -> None:
        """Bytes that came back. What follows the first wrong one is not kept."""
        if self._splits:
            self._received.append(data)
            # a trailer that began and is not whole yet cannot be told from echo
            self._advance(self._received.end - max(len(self._trailer) - 1, 0))

    def finish(self) -> VerifyResult:
        """The server closed, or nothing more is waited for: what to say of it all."""
        if self._splits:
            self._advance(self._received.end)
        if any(map(self._is_complete, self._splits)):
            return VerifyResult(None, 0)
        for split in self._splits:
            self._record_dead_end(split, split.position)
        return self._furthest

    def _is_complete(self, split: _Split) -> bool:
        return self._echoed_bytes(split) == self._sent.end and (not split.length or not self._trailer)

    def _echoed_bytes(self, split: _Split) -> int:
        return split.position - split.messages * len(self._trailer)

    def _advance(self, limit: int) -> None:
        """Take every split as far as `limit`, the first place that cannot be decided yet; in the answer's order."""
        found = _SplitQueue()
        for split in self._splits:
            found.add(split)
        while (first := found.peek()) is not None and first.position < limit:
            for split in self._next_splits(found.pop(), limit):
                found.add(split)
        self._splits = set(found.splits())
        if self._splits:
            self._sent.forget(min(map(self._echoed_bytes, self._splits)))
            # where a dead end looks back for a trailer that broke off
            self._received.forget(min(each.position for each in self._splits) - len(self._trailer))

    def _next_splits(self, split: _Split, limit: int) -> Iterator[_Split]:
        """Follow the echo up to the next trailer or the limit; there it is the trailer, or echo that looks like it."""
        trailer = self._received.find(self._trailer, split.position) if self._trailer else -1
        if trailer == split.position and split.length:
            yield _Split(trailer + len(self._trailer), split.messages + 1, 0)
        if trailer == split.position:
            trailer = self._received.find(self._trailer, split.position + 1)
        end = limit if trailer < 0 else min(trailer, limit)
        if self._trailer:
            end = min(end, split.position + MESSAGE_SIZE - split.length)
        echoed = self._echoed_bytes(split)
        same = self._received.common_prefix(split.position, end, self._sent, echoed)
        if split.position + same < end or not same:
            self._record_dead_end(split, split.position + same)
        else:
            yield _Split(end, split.messages, split.length + same)

    def _record_dead_end(self, split: _Split, offset: int) -> None:
        """Return a split whose echo ends at `offset`; part of a trailer may follow, even of one that began earlier."""
        start = max(split.position - split.length + 1, offset - len(self._trailer) + 1)
        for place in range(start, offset + 1):
            received = self._received.read(place, place + len(self._trailer))
            self._record_furthest(split, place, _common_prefix(received, self._trailer))
        self._record_furthest(split, offset, 0)

    def _record_furthest(self, split: _Split, echo_end: int, trailer_bytes: int) -> None:
        """Keep the furthest: echo up to `echo_end`, then so many bytes of the trailer."""
        at = echo_end + trailer_bytes
        if self._furthest.wrong_at is not None and at <= self._furthest.wrong_at:
            return
        echoed = self._echoed_bytes(split) + echo_end - split.position
        length = split.length + echo_end - split.position
        full = length >= MESSAGE_SIZE and bool(self._trailer)
        expected = b"" if trailer_bytes or full else self._sent.read(echoed, echoed + 1)
        if length and not expected:
            expected = self._trailer[trailer_bytes : trailer_bytes + 1]
        lost = max(self._sent.end - echoed + len(self._trailer) - trailer_bytes, 1)
        self._furthest = VerifyResult(at, lost, expected, self._received.read(at, at + 1))


def _common_prefix(one: bytes, other: bytes) -> int:
    """How many bytes both begin with alike."""
    if one == other:
        return len(one)
    for count, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return count
    return min(len(one), len(other))


class _SplitQueue:
    """Splits in the answer's order.

    Of those that differ in nothing but the last message's length the shortest is kept: it can do all the others can.
    """

    def __init__(self) -> None:
        self._shortest: dict[tuple[int, int, bool], _Split] = {}
        self._order: list[_Split] = []

    def add(self, split: _Split) -> None:
        """One more; it is dropped where a shorter one is there."""
        known = self._shortest.get(_key(split))
        if known is None or split.length < known.length:
            self._shortest[_key(split)] = split
            heapq.heappush(self._order, split)

    def peek(self) -> _Split | None:
        """The one that is least far, None if there is none."""
        while self._order and self._shortest.get(_key(self._order[0])) != self._order[0]:
            heapq.heappop(self._order)  # a shorter one took its place
        return self._order[0] if self._order else None

    def pop(self) -> _Split:
        """The one that is least far, which is gone from here then."""
        split = heapq.heappop(self._order)
        del self._shortest[_key(split)]
        return split

    def splits(self) -> Iterable[_Split]:
        """All of them."""
        return self._shortest.values()


def _key(split: _Split) -> tuple[int, int, bool]:
    return split.position, split.messages, bool(split.length)


class _StreamWindow:
    """A stream of bytes that remembers offsets and forgets what is not needed any more."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._start = 0

    @property
    def end(self) -> int:
        return self._start + len(self._bytes)

    def append(self, data: bytes) -> None:
        self._bytes += data

    def forget(self, before: int) -> None:
        if before - self._start > 65536:
            del self._bytes[: before - self._start]
            self._start = before

    def read(self, start: int, stop: int) -> bytes:
        return bytes(self._bytes[start - self._start : stop - self._start])

    def find(self, sequence: bytes, start: int) -> int:
        found = self._bytes.find(sequence, start - self._start)
        return found if found < 0 else found + self._start

    def common_prefix(self, start: int, stop: int, other: _StreamWindow, other_start: int) -> int:
        """How many bytes from `start`, before `stop`, are the same in both."""
        return _common_prefix(self.read(start, stop), other.read(other_start, other_start + stop - start))
