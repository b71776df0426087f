"""How many datagrams a second are answered to one source: a token bucket for each, with a leak, as chrony has it.

Without the leak whoever forges a client's address could take all of its answers: a quarter of what is above the limit
is answered, at random.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping

from echotime.servers.source import source

_SECOND = 1.0
LEAK = 0.25
"""Which part of what is above the limit is answered."""


class RateLimit:
    """`rate` datagrams a second, and as many at once after a pause; 0 for no limit. `clock` is monotonic, in seconds.

    At most `most` sources are remembered, the longest silent is forgotten first. `exempt` says which have no limit.

    As long as all datagrams of this second, and of the one before, are no more than one source may send, nobody is
    asked for. So who knows it, and sends as much as it can every other second, is answered a quarter more than that.
    """

    def __init__(
        self,
        rate: int,
        clock: Callable[[], float],
        exempt: Callable[[str], bool] = lambda source: False,
        chance: Callable[[], float] = random.random,
        most: int = 10_000,
    ) -> None:
        self._clock = clock
        self.change(rate, exempt)
        self._chance = chance
        self._most = most
        self._began = -math.inf
        self._total = 0
        self._crowded = False
        """Whether there were too many in the second before."""
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What is left to a source, and since when."""

    def change(self, rate: int, exempt: Callable[[str], bool] = lambda source: False) -> None:
        """Keep to this rate from now on."""
        self.rate = rate
        self._exempt = exempt

    def room_for(self, number: int, hosts: Callable[[], Mapping[str, int]]) -> bool:
        """Whether none of so many datagrams is above its source's limit; then all are taken.

        `hosts` counts them by the address they came from; it is called where it matters.
        """
        if self._quiet(number):
            return True
        buckets: dict[str, float] = {}
        for host, of_host in hosts().items():
            one = source(host)
            if not self._exempt(one):
                buckets[one] = (buckets[one] if one in buckets else self._bucket(one)) - of_host
        if any(left < 0 for left in buckets.values()):
            return False
        for one, left in buckets.items():
            self._fill(one, left)
        return True

    def allows(self, host: str) -> bool:
        """Whether to answer one datagram from a numeric address."""
        if self._quiet(1):
            return True
        one = source(host)
        if self._exempt(one):
            return True
        left = self._bucket(one)
        if left < 1:
            self._fill(one, left)
            return self._chance() < LEAK
        self._fill(one, left - 1)
        return True

    def _quiet(self, number: int) -> bool:
        if not self.rate:
            return True
        now = self._clock()
        if now - self._began >= _SECOND:
            # quiet again only when there is much less: what passes while it is quiet is not taken from any bucket
            crowd = self.rate / 2 if self._crowded else self.rate
            self._crowded = self._total > crowd and now - self._began < 2 * _SECOND
            self._began, self._total = now, 0
        self._total += number
        return self._total <= self.rate and not self._crowded

    def _bucket(self, one: str) -> float:
        left, since = self._buckets.get(one, (self.rate, self._began))
        return min(self.rate, left + (self._clock() - since) * self.rate)

    def _fill(self, one: str, left: float) -> None:
        self._buckets[one] = left, self._clock()
        self._buckets.move_to_end(one)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)
