"""Test daemon/drop_report.py: one line per reason every ten seconds."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from echotime.counters import ServiceCounters
from echotime.daemon.drop_report import DropReporter


class IncidentsTests(SynchronousTestCase):
    """Report drops on a fake clock."""

    def setUp(self) -> None:
        """Start a reporter without any drops."""
        self.clock = Clock()
        self.counts: dict[str, int] = {}
        self.sources: dict[str, str] = {}
        self.lines: list[str] = []
        note = provider(ILogObserver)(lambda event: self.lines.append(formatEvent(event)))
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        self.service = DropReporter(lambda: self.counts, lambda: self.sources, self.clock)
        self.service.startService()

    def tearDown(self) -> None:
        """Check that the reporter leaves no timer."""
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_soon_and_then_seldom(self) -> None:
        """The first drop is logged within a second, later ones every ten seconds."""
        for number in range(1, 25):
            self.counts["too many"] = number
            self.clock.advance(1)
        self.counts["rare"] = 7
        self.clock.pump([1] * 100)
        self.assertEqual(
            self.lines,
            [
                "too many: 1 new, 1 total",
                "too many: 10 new, 11 total",
                "too many: 10 new, 21 total",
                "rare: 7 new, 7 total",
                "too many: 3 new, 24 total",
            ],
        )

    def test_last_source(self) -> None:
        """A line names the last source and what the reason can mean, if these are known."""
        counters = ServiceCounters()
        counters.refuse("refused_loop", "192.0.2.1")
        counters.refuse("refused_loop", "::ffff:192.0.2.7")
        self.counts, self.sources = counters.refusals(), counters.refused_sources()
        self.counts["send EPERM"] = 3
        self.counts["UDP 0.0.0.0:7: dropped by the kernel"] = 1
        self.clock.advance(1)
        self.assertEqual(
            self.lines,
            [
                "datagrams refused (loop): 2 new, 2 total, last from 192.0.2.7",
                "send EPERM: 3 new, 3 total",
                "UDP 0.0.0.0:7: dropped by the kernel: 1 new, 1 total (source port below 1024, or receive buffer full)",
            ],
        )

    def test_listener_opened_again(self) -> None:
        """The counts of a listener that was closed and opened again begin at zero, also if no poll was in between."""
        reason = "UDP 127.0.0.1:7: send EINVAL"
        for total in (500, None, 200, 100):
            self.counts = {} if total is None else {reason: total}
            self.clock.pump([1] * 20)
        self.assertEqual(self.lines, [f"{reason}: {total} new, {total} total" for total in (500, 200, 100)])

    def test_closed_listeners(self) -> None:
        """Listeners that come and go on free ports take no memory afterwards."""
        for port in range(1000):
            self.counts = {f"UDP 127.0.0.1:{port}: send EINVAL": 1}
            self.clock.advance(1)
        self.assertEqual(len(self.lines), 1000)
        self.assertEqual(len(self.service._reported), 1)

    def test_reasons(self) -> None:
        """refusals() returns the counters that are not zero, by their description."""
        self.assertEqual(ServiceCounters().refusals(), {})
        self.assertEqual(
            ServiceCounters(refused_connection_limit=3, refused_loop=4, messages=9).refusals(),
            {"connections refused (connection limit)": 3, "datagrams refused (loop)": 4},
        )
