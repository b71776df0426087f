"""What was refused or failed, in the log: at most one line a reason each ten seconds, however much of it there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echotime.daemon.periodic import PeriodicService
from echotime.servers.traffic import ServiceCounters

_POLL_INTERVAL = 1.0
"""Seconds after which something new is told at the latest."""
MIN_LOG_INTERVAL = 10.0
"""Seconds between two lines of one reason."""
_REASON_TEXTS = {
    "refused_connections": "connections, not admitted",
    "refused_too_many_of_source": "connections, too many from one source",
    "refused_full": "connections, no room",
    "evicted": "connections, ended to make room",
    "refused_datagrams": "datagrams, not admitted",
    "rate_limited": "datagrams, too many from one source",
    "unsynchronized": "datagrams, while the clock is not synchronized",
    "looping": "datagrams, looping",
}


def drop_counts(counters: ServiceCounters) -> dict[str, int]:
    """Who was not served, by reason."""
    return {reason: number for name, reason in _REASON_TEXTS.items() if (number := getattr(counters, name))}


class DropReporter(PeriodicService):
    """Looks once a second at what `read_counts` says, and tells what has grown.

    What was not told at the end is in the figures that the daemon ends with.
    """

    _log = Logger()

    def __init__(self, read_counts: Callable[[], Mapping[str, int]], clock: IReactorTime) -> None:
        super().__init__(_POLL_INTERVAL, clock, self._poll)
        self._read_counts = read_counts
        self._clock = clock
        self._logged: dict[str, tuple[int, float]] = {}
        """How many were told of, and when."""

    def _poll(self) -> None:
        now = self._clock.seconds()
        for reason, number in self._read_counts().items():
            previous, logged_at = self._logged.get(reason, (0, now - MIN_LOG_INTERVAL))
            if number > previous and now - logged_at >= MIN_LOG_INTERVAL:
                self._logged[reason] = number, now
                self._log.warn(
                    "not served: {reason}: {more} more, {number} in all",
                    reason=reason,
                    more=number - previous,
                    number=number,
                )
