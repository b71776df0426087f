"""LoopGuard ends loops: datagrams that look like our responses are answered a few times, then ignored for a while.

A response of the time service is a valid request to it. So a datagram with a forged source could make two
servers answer each other without end (VU#417980, CVE-2024-2169, CERT CA-1996-01). A rate limit does not end such a
loop, because a slow path keeps the loop below any rate.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from echotime.limits.datagrams import DatagramBatch, Sender
from echotime.wire import timestamp

MAX_ANSWERED = 3
"""Datagrams that are answered, because a client may happen to send four bytes that look like the time."""
MEMORY = 120.0
"""Seconds after the last answer until a source is forgotten: as long as a packet may be in the network (RFC 9293)."""
_MAX_CLOCK_OFFSET = 3600
"""Seconds by which a value may differ from our clock and still count as a time."""


class LoopGuard:
    """Remember the sources of datagrams that look like responses, at most `max_sources`.

    The source that was answered longest ago is forgotten first. `clock` gives the Unix time in seconds. `monotonic`
    gives seconds from any start.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        max_sources: int = 10_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._max_sources = max_sources
        self._answered: OrderedDict[tuple[str, int], tuple[int, float]] = OrderedDict()
        """The number of answered datagrams by host and port, and the time of the last one. The oldest is first."""

    def admits_batch(self, batch: DatagramBatch) -> bool:
        """Return True if no datagram of a batch can look like a response."""
        return timestamp.SIZE not in batch.lengths()

    def refuses(self, datagram: bytes, sender: Sender) -> bool:
        """Return True if a datagram is not to be answered. Remember its sender if it looks like a response."""
        if not self.looks_like_response(datagram):
            return False
        source, now = (sender.host, sender[1]), self._monotonic()
        count, answered_at = self._answered.get(source, (0, now))
        if now - answered_at > MEMORY:
            count = 0
        if count >= MAX_ANSWERED:
            return True
        self._answered[source] = count + 1, now
        self._answered.move_to_end(source)
        if len(self._answered) > self._max_sources:
            self._answered.popitem(last=False)
        return False

    def looks_like_response(self, datagram: bytes) -> bool:
        """Return True if a datagram is four bytes that are a time near now."""
        return len(datagram) == timestamp.SIZE and self.is_near_now(int.from_bytes(datagram, "big"))

    def is_near_now(self, first: int, span: int = 0) -> bool:
        """Return True if a time near now, from either epoch, is from `first` to `first + span`, in seconds."""
        latest = int(self._clock()) + _MAX_CLOCK_OFFSET
        width = 2 * _MAX_CLOCK_OFFSET + span
        return any((latest + each.value - first) % timestamp.MODULUS <= width for each in timestamp.Epoch)
