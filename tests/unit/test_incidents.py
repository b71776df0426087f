"""daemon/incidents.py: one line a reason each ten seconds."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from echotime.daemon.incidents import DropReporter, drop_counts
from echotime.servers.traffic import ServiceCounters


class IncidentsTests(SynchronousTestCase):
    """On a clock of the test's own."""

    def setUp(self) -> None:
        """Nothing happened yet."""
        self.clock = Clock()
        self.counts: dict[str, int] = {}
        self.lines: list[str] = []
        note = provider(ILogObserver)(lambda event: self.lines.append(formatEvent(event)))
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)
        self.service = DropReporter(lambda: self.counts, self.clock)
        self.service.startService()

    def tearDown(self) -> None:
        """Nothing is left behind."""
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_soon_and_then_seldom(self) -> None:
        """The first is told within a second, what follows after ten; nothing where nothing follows."""
        for number in range(1, 25):
            self.counts["too many"] = number
            self.clock.advance(1)
        self.counts["rare"] = 7
        self.clock.pump([1] * 100)
        self.assertEqual(
            self.lines,
            [
                "not served: too many: 1 more, 1 in all",
                "not served: too many: 10 more, 11 in all",
                "not served: too many: 10 more, 21 in all",
                "not served: rare: 7 more, 7 in all",
                "not served: too many: 3 more, 24 in all",
            ],
        )

    def test_reasons(self) -> None:
        """Those that are not zero, in words."""
        self.assertEqual(drop_counts(ServiceCounters()), {})
        self.assertEqual(
            drop_counts(ServiceCounters(refused_full=3, looping=4, messages=9)),
            {"connections, no room": 3, "datagrams, looping": 4},
        )
