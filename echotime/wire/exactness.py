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
class Verdict:
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


class Exactness:
    """Fed with what was sent and what came back, as it happens; what was sent must be fed first."""

    def __init__(self, acknowledgement: bytes = ACKNOWLEDGEMENT, word: bytes = b"") -> None:
        self._trailer = acknowledgement + word
        self._sent = _Window()
        self._answer = _Window()
        self._splits = {_Split(0, 0, 0)}
        self.sent_bytes = 0
        self._furthest = Verdict(None, 0)

    @property
    def possible(self) -> bool:
        """Whether what came so far can still be right."""
        return bool(self._splits)

    def sent(self, data: bytes) -> None:
        """Bytes on their way to the server."""
        self.sent_bytes += len(data)
        if self._splits:
            self._sent.append(data)

    def received(self, data: bytes) -> None:
        """Bytes that came back. What follows the first wrong one is not kept."""
        if self._splits:
            self._answer.append(data)
            # a trailer that began and is not whole yet cannot be told from echo
            self._follow(self._answer.end - max(len(self._trailer) - 1, 0))

    def ended(self) -> Verdict:
        """The server closed, or nothing more is waited for: what to say of it all."""
        if self._splits:
            self._follow(self._answer.end)
        if any(map(self._whole, self._splits)):
            return Verdict(None, 0)
        for split in self._splits:
            self._dead_end(split, split.position)
        return self._furthest

    def _whole(self, split: _Split) -> bool:
        return self._echoed(split) == self._sent.end and (not split.length or not self._trailer)

    def _echoed(self, split: _Split) -> int:
        return split.position - split.messages * len(self._trailer)

    def _follow(self, limit: int) -> None:
        """Take every split as far as `limit`, the first place that cannot be decided yet; in the answer's order."""
        found = _Shortest()
        for split in self._splits:
            found.add(split)
        while (first := found.first()) is not None and first.position < limit:
            for split in self._steps(found.take(), limit):
                found.add(split)
        self._splits = set(found.splits())
        if self._splits:
            self._sent.forget(min(map(self._echoed, self._splits)))
            # where a dead end looks back for a trailer that broke off
            self._answer.forget(min(each.position for each in self._splits) - len(self._trailer))

    def _steps(self, split: _Split, limit: int) -> Iterator[_Split]:
        """Follow the echo up to the next trailer or the limit; there it is the trailer, or echo that looks like it."""
        trailer = self._answer.find(self._trailer, split.position) if self._trailer else -1
        if trailer == split.position and split.length:
            yield _Split(trailer + len(self._trailer), split.messages + 1, 0)
        if trailer == split.position:
            trailer = self._answer.find(self._trailer, split.position + 1)
        end = limit if trailer < 0 else min(trailer, limit)
        if self._trailer:
            end = min(end, split.position + MESSAGE_SIZE - split.length)
        echoed = self._echoed(split)
        same = self._answer.common(split.position, end, self._sent, echoed)
        if split.position + same < end or not same:
            self._dead_end(split, split.position + same)
        else:
            yield _Split(end, split.messages, split.length + same)

    def _dead_end(self, split: _Split, at: int) -> None:
        """A split whose echo ends at `at`; it may have got further by a trailer that breaks off, begun before even."""
        start = max(split.position - split.length + 1, at - len(self._trailer) + 1)
        for place in range(start, at + 1):
            came = self._answer.read(place, place + len(self._trailer))
            self._note(split, place, _common(came, self._trailer))
        self._note(split, at, 0)

    def _note(self, split: _Split, place: int, trailer: int) -> None:
        """Keep the furthest: echo up to `place`, then so many bytes of the trailer."""
        at = place + trailer
        if self._furthest.wrong_at is not None and at <= self._furthest.wrong_at:
            return
        echoed = self._echoed(split) + place - split.position
        length = split.length + place - split.position
        full = length >= MESSAGE_SIZE and bool(self._trailer)
        expected = b"" if trailer or full else self._sent.read(echoed, echoed + 1)
        if length and not expected:
            expected = self._trailer[trailer : trailer + 1]
        lost = max(self._sent.end - echoed + len(self._trailer) - trailer, 1)
        self._furthest = Verdict(at, lost, expected, self._answer.read(at, at + 1))


def _common(one: bytes, other: bytes) -> int:
    """How many bytes both begin with alike."""
    if one == other:
        return len(one)
    for count, (mine, theirs) in enumerate(zip(one, other, strict=False)):
        if mine != theirs:
            return count
    return min(len(one), len(other))


class _Shortest:
    """Splits in the answer's order.

    Of those that differ in nothing but the last message's length the shortest is kept: it can do all the others can.
    """

    def __init__(self) -> None:
        self._best: dict[tuple[int, int, bool], _Split] = {}
        self._order: list[_Split] = []

    def add(self, split: _Split) -> None:
        """One more; it is dropped where a shorter one is there."""
        known = self._best.get(_key(split))
        if known is None or split.length < known.length:
            self._best[_key(split)] = split
            heapq.heappush(self._order, split)

    def first(self) -> _Split | None:
        """The one that is least far, None if there is none."""
        while self._order and self._best.get(_key(self._order[0])) != self._order[0]:
            heapq.heappop(self._order)  # a shorter one took its place
        return self._order[0] if self._order else None

    def take(self) -> _Split:
        """The one that is least far, which is gone from here then."""
        split = heapq.heappop(self._order)
        del self._best[_key(split)]
        return split

    def splits(self) -> Iterable[_Split]:
        """All of them."""
        return self._best.values()


def _key(split: _Split) -> tuple[int, int, bool]:
    return split.position, split.messages, bool(split.length)


class _Window:
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

    def find(self, what: bytes, start: int) -> int:
        found = self._bytes.find(what, start - self._start)
        return found if found < 0 else found + self._start

    def common(self, start: int, stop: int, other: _Window, other_start: int) -> int:
        """How many bytes from `start`, before `stop`, are the same in both."""
        return _common(self.read(start, stop), other.read(other_start, other_start + stop - start))
