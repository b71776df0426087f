"""Loops end: a datagram that looks like our own answer is answered a few times in a row, and then ignored.

An answer of the time service is a valid question to it, so two servers that one datagram with a forged source has made
answer each other would go on for ever (VU#417980, CVE-2024-2169, CERT CA-1996-01). A rate limit does not end that, as a
slow path keeps it below any rate.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, KeysView

from echotime.wire import timestamp

MAX_CONSECUTIVE = 3
"""So many are answered: a client may ask with four bytes that happen to look like the time."""
_MAX_CLOCK_OFFSET = 3600
"""Seconds that a clock may be off and still be taken for one."""

HostPort = tuple[str, int]
"""Address and port."""


class LoopGuard:
    """Knows who sends what looks like answers, at most `max_sources` sources; the longest silent is forgotten first.

    `clock` gives the Unix time.
    """

    def __init__(self, clock: Callable[[], float], max_sources: int = 10_000) -> None:
        self._clock = clock
        self._max_sources = max_sources
        self._suspects: OrderedDict[HostPort, int] = OrderedDict()
        self._port_counts: Counter[int] = Counter()
        self.suspect_ports: KeysView[int] = self._port_counts.keys()
        """The source ports of those who are watched, kept up to date; others need no look unless they send answers."""

    def should_answer(self, datagram: bytes, source: HostPort) -> bool:
        """Whether to answer this one."""
        if not self._looks_like_reply(datagram):
            self._forget(source)
            return True
        if source not in self._suspects:
            self._watch(source)
        self._suspects.move_to_end(source)
        self._suspects[source] += 1
        return self._suspects[source] <= MAX_CONSECUTIVE

    def _looks_like_reply(self, datagram: bytes) -> bool:
        if len(datagram) != timestamp.SIZE:
            return False
        value = int.from_bytes(datagram, "big")
        return any(self._is_near_now(value - each.value) for each in timestamp.Epoch)

    def _is_near_now(self, seconds: int) -> bool:
        offset = (seconds - int(self._clock())) % timestamp.MODULUS
        return min(offset, timestamp.MODULUS - offset) <= _MAX_CLOCK_OFFSET

    def _watch(self, source: HostPort) -> None:
        if len(self._suspects) >= self._max_sources:
            self._forget(next(iter(self._suspects)))
        self._suspects[source] = 0
        self._port_counts[source[1]] += 1

    def _forget(self, source: HostPort) -> None:
        if self._suspects.pop(source, None) is None:
            return
        port = source[1]
        self._port_counts[port] -= 1
        if not self._port_counts[port]:
            del self._port_counts[port]
