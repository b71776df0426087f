"""RateLimit: a token bucket of UDP datagrams for each source, with a leak, as in chrony.

Without the leak, an attacker who forges a client's address could block all responses to that client. So a quarter of
the datagrams above the limit, chosen at random, is answered.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable

from echotime.limits.datagrams import DatagramBatch
from echotime.limits.source import source_key

_SECOND = 1.0
LEAK_RATIO = 0.25
"""Fraction of the datagrams above the limit that is answered."""


class RateLimit:
    """Limit each source to `rate` datagrams a second, with a burst of as many after a pause; 0 is no limit.

    `clock` is monotonic, in seconds. At most `max_sources` sources are remembered; the longest silent one is forgotten
    first. `exempt` returns True for a source without a limit.

    No source is looked up while the datagrams of all sources, in this second and the one before, are within the limit
    of one source. A source that sends at its limit every other second can use this to get a quarter more.
    """

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float],
        exempt: Callable[[str], bool] = lambda source: False,
        uniform: Callable[[], float] = random.random,
        max_sources: int = 10_000,
    ) -> None:
        self._clock = clock
        self.set_rate(rate, exempt)
        self._uniform = uniform
        self._max_sources = max_sources
        self._window_start = -math.inf
        self._total = 0
        self._was_busy = False
        """True if all sources together exceeded the rate in the second before."""
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """The tokens of each source, and the time of their last update."""

    def set_rate(self, rate: int, exempt: Callable[[str], bool] = lambda source: False) -> None:
        """Set the rate and the exemption from now on."""
        self.rate = rate
        self._exempt = exempt

    def allow_batch(self, batch: DatagramBatch) -> bool:
        """Return True if no datagram of a batch exceeds its source's limit. Only then is the batch counted."""
        if self._below_global_rate(batch.count):
            return True
        buckets: dict[str, float] = {}
        for host, host_count in batch.hosts().items():
            source = source_key(host)
            if not self._exempt(source):
                buckets[source] = (buckets[source] if source in buckets else self._current_tokens(source)) - host_count
        if any(tokens < 0 for tokens in buckets.values()):
            return False
        for source, tokens in buckets.items():
            self._store(source, tokens)
        return True

    def allows(self, host: str) -> bool:
        """Return True if a datagram from a numeric address is to be answered, and count it."""
        if self._below_global_rate(1):
            return True
        source = source_key(host)
        if self._exempt(source):
            return True
        tokens = self._current_tokens(source)
        if tokens < 1:
            self._store(source, tokens)
            return self._uniform() < LEAK_RATIO
        self._store(source, tokens - 1)
        return True

    def _below_global_rate(self, count: int) -> bool:
        if not self.rate:
            return True
        now = self._clock()
        if now - self._window_start >= _SECOND:
            # hysteresis: datagrams of a quiet second are not taken from any bucket
            threshold = self.rate / 2 if self._was_busy else self.rate
            self._was_busy = self._total > threshold and now - self._window_start < 2 * _SECOND
            self._window_start, self._total = now, 0
        self._total += count
        return self._total <= self.rate and not self._was_busy

    def _current_tokens(self, source: str) -> float:
        tokens, updated_at = self._buckets.get(source, (self.rate, self._window_start))
        return min(self.rate, tokens + (self._clock() - updated_at) * self.rate)

    def _store(self, source: str, tokens: float) -> None:
        self._buckets[source] = tokens, self._clock()
        self._buckets.move_to_end(source)
        if len(self._buckets) > self._max_sources:
            self._buckets.popitem(last=False)
