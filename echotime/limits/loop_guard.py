"""LoopGuard ends loops: datagrams that look like our responses are answered a few times in a row, then ignored.

A response of the time service is a valid request to it. So a datagram with a forged source could make two
servers answer each other without end (VU#417980, CVE-2024-2169, CERT CA-1996-01). A rate limit does not end such a
loop, because a slow path keeps the loop below any rate.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, KeysView

from echotime.limits.datagrams import DatagramBatch, Sender
from echotime.wire import timestamp

MAX_CONSECUTIVE = 3
"""Datagrams that are answered, because a client may happen to send four bytes that look like the time."""
_MAX_CLOCK_OFFSET = 3600
"""Seconds by which a value may differ from our clock and still count as a time."""

HostPort = tuple[str, int]
"""Numeric address and port."""


class LoopGuard:
    """Remember the sources of datagrams that look like responses, at most `max_sources`.

    The longest silent source is forgotten first. `clock` gives the Unix time in seconds.
    """

    def __init__(self, clock: Callable[[], float], max_sources: int = 10_000) -> None:
        self._clock = clock
        self._max_sources = max_sources
        self._suspects: OrderedDict[HostPort, int] = OrderedDict()
        self._port_counts: Counter[int] = Counter()
        self.suspect_ports: KeysView[int] = self._port_counts.keys()
        """Source ports of the remembered sources, a live view."""

    def admits_batch(self, batch: DatagramBatch) -> bool:
        """Return True if no datagram of a batch can look like a response or come from a remembered source."""
        if timestamp.SIZE in batch.lengths():
            return False
        return not self.suspect_ports or self.suspect_ports.isdisjoint(batch.source_ports())

    def refuses(self, datagram: bytes, sender: Sender) -> bool:
        """Return True if a datagram is not to be answered. Remember its sender if it looks like a response."""
        address = sender[0], sender[1]
        if len(datagram) != timestamp.SIZE or not self._looks_like_response(datagram):
            self._forget(address)
            return False
        if address not in self._suspects:
            self._watch(address)
        self._suspects.move_to_end(address)
        self._suspects[address] += 1
        return self._suspects[address] > MAX_CONSECUTIVE

    def _looks_like_response(self, datagram: bytes) -> bool:
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
