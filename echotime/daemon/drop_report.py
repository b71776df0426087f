"""Report refusals and failures: at most one line for each reason in ten seconds, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from twisted.internet.defer import Deferred
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
    before the stop are part of the totals at shutdown. `record` gets the same, and at the stop the rest: reason, new
    and total number, and the address or None.
    """

    _log = Logger()

    def __init__(
        self,
        read_counts: Callable[[], Mapping[str, int]],
        read_sources: Callable[[], Mapping[str, str]],
        clock: IReactorTime,
        record: Callable[[str, int, int, str | None], object] | None = None,
    ) -> None:
        super().__init__(_POLL_INTERVAL, clock, self._poll)
        self._record = record
        self._read_counts = read_counts
        self._read_sources = read_sources
        self._clock = clock
        self._reported: dict[str, tuple[int, float]] = {}
        """The last reported count of each reason, and when it was reported."""

    def record_rest(self) -> None:
        """Record what was refused since the last line of each reason."""
        for _report in self._new_reports(0):
            pass

    def stopService(self) -> Deferred[None]:
        """Record the rest while the ports are open, which have counts of their own."""
        self.record_rest()
        return super().stopService()

    def _poll(self) -> None:
        for reason, new, total, address in self._new_reports(MIN_LOG_INTERVAL):
            cause = _CAUSES.get(reason.rpartition(": ")[2], "")
            self._log.warn(
                "{reason}: {new} new, {total} total"
                + (", last from {address}" if address else "")
                + (" ({cause})" if cause else ""),
                reason=reason,
                new=new,
                total=total,
                **({"address": address} if address else {}),
                **({"cause": cause} if cause else {}),
            )

    def _new_reports(self, interval: float) -> Iterator[tuple[str, int, int, str | None]]:
        """Record and yield each reason that has grown and was not reported for `interval`."""
        now = self._clock.seconds()
        counts = self._read_counts()
        # the counts of a listener end when it is closed, and begin at zero when it is opened again
        self._reported = {each: last for each, last in self._reported.items() if last[0] <= counts.get(each, 0)}
        for reason, total in counts.items():
            previous, reported_at = self._reported.get(reason, (0, now - interval))
            if total > previous and now - reported_at >= interval:
                self._reported[reason] = total, now
                source = self._read_sources().get(reason)
                report = reason, total - previous, total, format_host(source) if source else None
                if self._record is not None:
                    self._record(*report)
                yield report
