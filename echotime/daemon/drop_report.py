"""What was refused or failed, in the log: at most one line a reason each ten seconds, however much of it there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime

from echotime.daemon.periodic import PeriodicService
from echotime.logger import Logger

_POLL_INTERVAL = 1.0
"""Seconds after which something new is told at the latest."""
MIN_LOG_INTERVAL = 10.0
"""Seconds between two lines of one reason."""


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
                    "{reason}: {new} new, {total} total",
                    reason=reason,
                    new=number - previous,
                    total=number,
                )
