"""Loops end: a datagram that looks like our own answer is answered a few times in a row, and then ignored.

An answer of the time service is a valid question to it, so two servers that one datagram with a forged source has made
answer each other would go on for ever (VU#417980, CVE-2024-2169, CERT CA-1996-01). A rate limit does not end that, as a
slow path keeps it below any rate.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, KeysView

from echotime.wire import timestamp

IN_A_ROW = 3
"""So many are answered: a client may ask with four bytes that happen to look like the time."""
_NEAR = 3600
"""Seconds that a clock may be off and still be taken for one."""

Source = tuple[str, int]
"""Address and port."""


class LoopGuard:
    """Knows who sends what looks like answers, at most `most` sources; the longest silent is forgotten first.

    `clock` gives the Unix time.
    """

    def __init__(self, clock: Callable[[], float], most: int = 10_000) -> None:
        self._clock = clock
        self._most = most
        self._suspects: OrderedDict[Source, int] = OrderedDict()
        self._ports: Counter[int] = Counter()
        self.ports: KeysView[int] = self._ports.keys()
        """The source ports of those who are watched, kept up to date; others need no look unless they send answers."""

    def answers(self, datagram: bytes, source: Source) -> bool:
        """Whether to answer this one."""
        if not self._looks_like_an_answer(datagram):
            self._forget(source)
            return True
        if source not in self._suspects:
            self._watch(source)
        self._suspects.move_to_end(source)
        self._suspects[source] += 1
        return self._suspects[source] <= IN_A_ROW

    def _looks_like_an_answer(self, datagram: bytes) -> bool:
        if len(datagram) != timestamp.SIZE:
            return False
        said = int.from_bytes(datagram, "big")
        return any(self._near(said - each.value) for each in timestamp.Epoch)

    def _near(self, seconds: int) -> bool:
        off = (seconds - int(self._clock())) % timestamp.MODULUS
        return min(off, timestamp.MODULUS - off) <= _NEAR

    def _watch(self, source: Source) -> None:
        if len(self._suspects) >= self._most:
            self._forget(next(iter(self._suspects)))
        self._suspects[source] = 0
        self._ports[source[1]] += 1

    def _forget(self, source: Source) -> None:
        if self._suspects.pop(source, None) is None:
            return
        port = source[1]
        self._ports[port] -= 1
        if not self._ports[port]:
            del self._ports[port]
