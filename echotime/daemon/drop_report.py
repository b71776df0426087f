"""Log refusals and failures: at most one line for each reason in ten seconds, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IReactorTime

from echotime.daemon.periodic import PeriodicService
from echotime.logger import Logger
from echotime.net.listener import DROPPED_BY_KERNEL
from echotime.wire.hostport import format_host

_POLL_INTERVAL = 1.0
"""Seconds until a new refusal is logged, at most."""
MIN_LOG_INTERVAL = 10.0
"""Seconds between two lines for one reason."""

_CAUSES = {DROPPED_BY_KERNEL: "source port below 1024, or receive buffer full"}
"""What a reason can mean, by the end of its name."""


class DropReporter(PeriodicService):
    """Poll `read_counts` once a second, and log each reason whose count has grown.

    `read_sources` returns the address of the last client, for those reasons that have one. Counts that are not logged
    before the stop are part of the totals at shutdown.
    """

    _log = Logger()

    def __init__(
        self,
        read_counts: Callable[[], Mapping[str, int]],
        read_sources: Callable[[], Mapping[str, str]],
        clock: IReactorTime,
    ) -> None:
        super().__init__(_POLL_INTERVAL, clock, self._poll)
        self._read_counts = read_counts
        self._read_sources = read_sources
        self._clock = clock
        self._logged: dict[str, tuple[int, float]] = {}
        """The last logged count of each reason, and when it was logged."""

    def _poll(self) -> None:
        now = self._clock.seconds()
        for reason, number in self._read_counts().items():
            previous, logged_at = self._logged.get(reason, (0, now - MIN_LOG_INTERVAL))
            if number > previous and now - logged_at >= MIN_LOG_INTERVAL:
                self._logged[reason] = number, now
                source = self._read_sources().get(reason)
                cause = _CAUSES.get(reason.rpartition(": ")[2], "")
                self._log.warn(
                    "{reason}: {new} new, {total} total"
                    + (", last from {address}" if source else "")
                    + (" ({cause})" if cause else ""),
                    reason=reason,
                    new=number - previous,
                    total=number,
                    **({"address": format_host(source)} if source else {}),
                    **({"cause": cause} if cause else {}),
                )
