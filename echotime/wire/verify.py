"""Check that the bytes from a server are an exact echo with trailers, for some split of the input into messages.

The client sees streams. It knows what it sent and what it received, but not where the server's messages ended.
So every split that is still possible is followed at once. Usually there is one. Two are possible when the client
sends the trailer itself. When it sends trailers in a row, there are as many splits as trailers. They differ only in
the number of messages, so they are followed together, as the bits of one integer. Memory is bounded by the bytes in
flight between both ends.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from echotime.wire.message import ACKNOWLEDGEMENT, MESSAGE_SIZE
from echotime.wire.proxy_header import HEADER_STARTS
from echotime.wire.splits import Splits, every_bit, shortest
from echotime.wire.stream_window import StreamWindow, common_prefix

_LONGEST_START = max(map(len, HEADER_STARTS))
_MAX_STEP = 8
"""Numbers of messages that differ by at most this are compared together where the sent bytes repeat."""


class Cause(Enum):
    """List the usual causes of a difference."""

    CUT = "cut"
    """The received bytes are correct, and more should follow."""
    NO_TRAILER = "no trailer"
    """The echo continues, or ends, where the acknowledgement and the reply should follow."""
    TRAILER = "trailer"
    """The acknowledgement or the reply has other bytes."""
    NO_REPLY = "no reply"
    """The answer ends after an acknowledgement, where the reply should follow."""
    EXTRA = "extra"
    """Other bytes follow the acknowledgement and the reply."""
    PROXY_HEADER = "proxy header"
    """The answer begins with a header of the PROXY protocol, which the server took for data."""
    ECHO = "echo"
    """The echo has other bytes."""


@dataclass(frozen=True)
class VerifyResult:
    """Describe the first difference from a correct answer, or an exact answer."""

    wrong_at: int | None
    """Offset of the first wrong byte in the received stream, None if all bytes are correct."""
    lost: int = 0
    """Number of sent bytes whose echo is missing. 0 if the answer is wrong and not only cut."""
    missing: int = 0
    """Least number of bytes that complete the answer. 0 if it is wrong and not only cut."""
    expected: bytes = b""
    """A byte that would have been correct there, empty for the end of file."""
    found: bytes = b""
    """The byte received there, empty for the end of file."""
    cause: Cause = Cause.ECHO

    @property
    def exact(self) -> bool:
        return self.wrong_at is None


class EchoVerifier:
    """Compare what was sent with what was received. Sent bytes must be fed before their echo."""

    def __init__(self, acknowledgement: bytes = ACKNOWLEDGEMENT, reply: bytes = b"") -> None:
        self._trailer = acknowledgement + reply
        self._reply_at = len(acknowledgement)
        self._sent = StreamWindow()
        self._received = StreamWindow()
        self._splits = [Splits(0, 0, 1, 0)]
        self.sent_bytes = 0
        self._furthest = VerifyResult(None)

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
            return VerifyResult(None)
        for splits in self._splits:
            self._record_mismatch(splits, splits.position)
        return self._furthest

    def is_complete(self) -> bool:
        """Return True if the received bytes are an exact answer to all that was sent. More may be fed afterwards."""
        return copy.deepcopy(self).finish().exact

    def _is_complete(self, splits: Splits) -> bool:
        if not self._trailer:
            return splits.position == self._sent.end
        messages, rest = divmod(splits.position - self._sent.end, len(self._trailer))
        is_possible = messages >= splits.fewest and splits.numbers >> (messages - splits.fewest) & 1
        return bool(is_possible and not rest and not splits.length)

    def _echoed_bytes(self, splits: Splits, messages: int) -> int:
        return splits.position - messages * len(self._trailer)

    def _advance(self, limit: int) -> None:
        """Follow all splits up to `limit`, in the order of positions."""
        at: dict[int, list[Splits]] = {}
        for splits in self._splits:
            at.setdefault(splits.position, []).append(splits)
        queue = sorted(at)
        while queue and queue[0] < limit:
            for splits in shortest(at.pop(heapq.heappop(queue))):
                for following in self._next_splits(splits, limit):
                    if following.position not in at:
                        heapq.heappush(queue, following.position)
                        at[following.position] = []
                    at[following.position].append(following)
        self._splits = [splits for each in at.values() for splits in shortest(each)]
        if self._splits:
            self._sent.forget(min(self._echoed_bytes(each, each.most) for each in self._splits))
            # Keep these bytes: the report of a mismatch looks for an incomplete trailer before it.
            self._received.forget(min(each.position for each in self._splits) - len(self._trailer))

    def _next_splits(self, splits: Splits, limit: int) -> Iterator[Splits]:
        """Follow the echo up to the next trailer or `limit`. A trailer may also be echo that looks like one."""
        position, fewest, numbers, length = splits
        end = limit
        if self._trailer:
            end = min(end, position + MESSAGE_SIZE - length)
            stop = end + len(self._trailer)
            trailer = self._received.find(self._trailer, position, stop)
            if trailer == position:
                if length:
                    yield Splits(trailer + len(self._trailer), fewest + 1, numbers, 0)
                trailer = self._received.find(self._trailer, position + 1, stop)
            if trailer >= 0:
                end = min(trailer, end)
        while numbers:
            echoed = self._echoed_bytes(splits, fewest + numbers.bit_length() - 1)
            same = self._select_same(numbers, echoed, end - position)
            following = Splits(position, fewest, same, length).normalized()
            equal = self._received.equal_bytes(position, end, self._sent, echoed)
            if position + equal < end or not equal:
                self._record_mismatch(following, position + equal)
            else:
                yield following._replace(position=end, length=length + equal)
            numbers ^= same

    def _select_same(self, numbers: int, echoed: int, size: int) -> int:
        """Return the numbers of messages with the same next `size` bytes of echo as the highest number.

        The highest number has the fewest bytes echoed, which are `echoed`. The sent bytes are the same for others if
        they repeat from there.
        """
        highest = numbers.bit_length() - 1
        most = 1 << highest
        for step in range(1, min(highest, _MAX_STEP) + 1):
            if most != numbers and numbers >> (highest - step) & 1:
                period = step * len(self._trailer)
                stop = min(echoed + size + (highest // step - 1) * period, self._sent.end - period)
                repeated = self._sent.repeated_bytes(echoed, stop, period)
                count = min(max((repeated - size) // period + 1, 0), highest // step)
                same = numbers & every_bit(step, count + 1) << (highest - count * step)
                most = max(most, same, key=int.bit_count)
        return most

    def _record_mismatch(self, splits: Splits, offset: int) -> None:
        """Record that the echo ends at `offset`, or earlier if a part of a trailer follows."""
        self._record_furthest(splits, offset, 0)
        start = max(splits.position - splits.length + 1, offset - len(self._trailer) + 1)
        received = self._received.read(start, offset + len(self._trailer))
        found = received.find(self._trailer[:1]) if self._trailer else -1
        while 0 <= found <= offset - start:
            trailer_bytes = common_prefix(received[found : found + len(self._trailer)], self._trailer)
            if trailer_bytes < len(self._trailer):  # the splits after a complete trailer record their own mismatch
                self._record_furthest(splits, start + found, trailer_bytes)
            found = received.find(self._trailer[:1], found + 1)

    def _record_furthest(self, splits: Splits, echo_end: int, trailer_bytes: int) -> None:
        """Keep the mismatch with the highest offset: echo up to `echo_end`, then `trailer_bytes` of the trailer.

        At the end of the answer, keep of those with the same offset the one that lacks the fewest bytes.
        """
        offset, known = echo_end + trailer_bytes, self._furthest
        found = self._received.read(offset, offset + 1)
        if known.wrong_at is not None and (offset < known.wrong_at or (offset == known.wrong_at and found)):
            return
        echoed = self._echoed_bytes(splits, splits.fewest) + echo_end - splits.position
        length = splits.length + echo_end - splits.position
        echo = self._sent.read(echoed, echoed + 1)
        ends = trailer_bytes or not echo or (length >= MESSAGE_SIZE and self._trailer)
        expected = echo
        if ends:
            expected = self._trailer[trailer_bytes : trailer_bytes + 1] if length else b""
        if not found:
            cause = Cause.CUT if echo or trailer_bytes else Cause.NO_TRAILER
            if trailer_bytes and trailer_bytes == self._reply_at:
                cause = Cause.NO_REPLY
        elif not offset and self._received.read(0, _LONGEST_START).startswith(HEADER_STARTS):
            cause = Cause.PROXY_HEADER
        elif offset and (not length or not (self._trailer or echo)):
            cause = Cause.EXTRA
        elif ends:
            cause = Cause.NO_TRAILER if not trailer_bytes and found == echo else Cause.TRAILER
        else:
            cause = Cause.ECHO
        lost = 0 if found else self._sent.end - echoed
        missing = 0 if found else self._missing_bytes(lost, length, trailer_bytes)
        if offset == known.wrong_at and missing >= known.missing:
            return
        self._furthest = VerifyResult(offset, lost, missing, expected, found, cause)

    def _missing_bytes(self, lost: int, length: int, trailer_bytes: int) -> int:
        """Return the least number of bytes that follow `length` bytes of a message's echo and a part of a trailer."""
        trailers = -((length + lost) // -MESSAGE_SIZE) if not trailer_bytes else 1 - lost // -MESSAGE_SIZE
        return lost + trailers * len(self._trailer) - trailer_bytes
