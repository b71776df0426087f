"""What was refused or failed, in the log: at most one line a reason each ten seconds, however much of it there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echotime.daemon.periodic import Periodic
from echotime.servers.traffic import Counters

_LOOKED = 1.0
"""Seconds after which something new is told at the latest."""
APART = 10.0
"""Seconds between two lines of one reason."""
_REASONS = {
    "refused_connections": "connections, not admitted",
    "refused_too_many_of_source": "connections, too many from one source",
    "refused_full": "connections, no room",
    "evicted": "connections, ended to make room",
    "refused_datagrams": "datagrams, not admitted",
    "rate_limited": "datagrams, too many from one source",
    "unsynchronized": "datagrams, while the clock is not synchronized",
    "looping": "datagrams, looping",
}


def refusals(counters: Counters) -> dict[str, int]:
    """Who was not served, by reason."""
    return {reason: number for name, reason in _REASONS.items() if (number := getattr(counters, name))}


class Incidents(Periodic):
    """Looks once a second at what `counts` says, and tells what has grown.

    What was not told at the end is in the figures that the daemon ends with.
    """

    _log = Logger()

    def __init__(self, counts: Callable[[], Mapping[str, int]], clock: IReactorTime) -> None:
        super().__init__(_LOOKED, clock, self._look)
        self._counts = counts
        self._clock = clock
        self._told: dict[str, tuple[int, float]] = {}
        """How many were told of, and when."""

    def _look(self) -> None:
        now = self._clock.seconds()
        for reason, number in self._counts().items():
            before, when = self._told.get(reason, (0, now - APART))
            if number > before and now - when >= APART:
                self._told[reason] = number, now
                self._log.warn(
                    "not served: {reason}: {more} more, {number} in all",
                    reason=reason,
                    more=number - before,
                    number=number,
                )
