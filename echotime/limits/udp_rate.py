"""How many datagrams a second are answered to one source: a token bucket for each, with a leak, as chrony has it.

Without the leak whoever forges a client's address could take all of its answers: a quarter of what is above the limit
is answered, at random.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping

from echotime.limits.source import source_key

_SECOND = 1.0
LEAK_RATIO = 0.25
"""Which part of what is above the limit is answered."""


class RateLimit:
    """`rate` datagrams a second, and as many at once after a pause; 0 for no limit. `clock` is monotonic, in seconds.

    At most `max_sources` sources are remembered, the longest silent is forgotten first. `exempt` says which have no
    limit.

    As long as all datagrams of this second, and of the one before, are no more than one source may send, nobody is
    asked for. So who knows it, and sends as much as it can every other second, is answered a quarter more than that.
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
        """Whether there were too many in the second before."""
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What is left to a source, and since when."""

    def set_rate(self, rate: int, exempt: Callable[[str], bool] = lambda source: False) -> None:
        """Keep to this rate from now on."""
        self.rate = rate
        self._exempt = exempt

    def allow_batch(self, count: int, count_by_host: Callable[[], Mapping[str, int]]) -> bool:
        """Whether none of so many datagrams is above its source's limit; then all are taken.

        `hosts` counts them by the address they came from; it is called where it matters.
        """
        if self._below_global_rate(count):
            return True
        buckets: dict[str, float] = {}
        for host, host_count in count_by_host().items():
            source = source_key(host)
            if not self._exempt(source):
                buckets[source] = (buckets[source] if source in buckets else self._current_tokens(source)) - host_count
        if any(left < 0 for left in buckets.values()):
            return False
        for source, tokens in buckets.items():
            self._store(source, tokens)
        return True

    def allows(self, host: str) -> bool:
        """Whether to answer one datagram from a numeric address."""
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
            # quiet again only when there is much less: what passes while it is quiet is not taken from any bucket
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
