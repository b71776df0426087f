"""services/timeouts.py: connections that stay too long are ended, in order where nothing is owed."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echotime.services.replies import IReplySource
from echotime.services.tcp_echo import EchoFactory, EchoProtocol
from echotime.services.timeouts import TimeoutMonitor, Timeouts
from echotime.services.traffic import TrafficLog
from tests.unit.test_echo import Abortable, Asked

PEER = IPv4Address("TCP", "127.0.0.1", 1945)


class TimeoutTests(SynchronousTestCase):
    """On a clock of the test's own."""

    def watched(self, timeouts: Timeouts, words: IReplySource | None = None) -> None:
        """A factory and one connection."""
        self.clock = Clock()
        self.factory = EchoFactory(TrafficLog(self.clock, 0), reply_source=words)
        self.counters = self.factory.traffic.counters
        self.watch = TimeoutMonitor(self.factory, self.clock, timeouts)
        self.watch.start()
        self.one = self.another()

    def tearDown(self) -> None:
        """Nothing is left behind."""
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def another(self) -> EchoProtocol:
        """One more connection."""
        protocol = self.factory.buildProtocol(PEER)
        assert protocol is not None
        protocol.makeConnection(Abortable(peerAddress=PEER))
        return protocol

    def seconds(self, number: float) -> None:
        """Let them pass, in small steps."""
        self.clock.pump([0.1] * round(number * 10))

    def state(self, protocol: EchoProtocol | None = None) -> str:
        """How its transport is."""
        transport = (protocol or self.one).transport
        assert isinstance(transport, Abortable)
        return "reset" if transport.aborted else "closing" if transport.disconnecting else "open"

    def test_idle(self) -> None:
        """It is closed when it has done nothing for so long, but for a tenth; others are not."""
        self.watched(Timeouts(idle=10))
        self.seconds(9)
        busy = self.another()
        self.assertEqual(self.state(), "open")
        self.seconds(2)
        self.assertEqual((self.state(), self.state(busy)), ("closing", "open"))
        self.assertEqual(self.counters.idle_timeouts, 1)

    def test_active(self) -> None:
        """A message, and room for more, begin the time anew."""
        self.watched(Timeouts(idle=10))
        for act in (lambda: self.one.dataReceived(b"x"), self.one.resumeProducing) * 2:
            self.seconds(9)
            act()
        self.seconds(9)
        self.assertEqual(self.state(), "open")

    def test_does_not_read(self) -> None:
        """Who does not take its answers is reset, as it does not get all of them."""
        self.watched(Timeouts(idle=10))
        self.one.dataReceived(b"x")
        self.one.pauseProducing()
        self.seconds(11)
        self.assertEqual(self.state(), "reset")

    def test_reads_slowly(self) -> None:
        """Who takes a little now and then is not idle, though there is no room for more yet."""
        self.watched(Timeouts(idle=10))
        self.one.dataReceived(b"x")
        self.one.pauseProducing()
        assert isinstance(self.one.transport, Abortable)
        for _ in range(5):
            self.one.transport.sent += 1
            self.seconds(9)
        self.assertEqual(self.state(), "open")
        self.seconds(3)
        self.assertEqual(self.state(), "reset")

    def test_waits_for_its_word(self) -> None:
        """It is not its fault: its time begins when the word is there."""
        words = Asked()
        self.watched(Timeouts(idle=10), words)
        self.one.dataReceived(b"x")
        self.seconds(100)
        self.assertEqual(self.state(), "open")
        words.words[0].callback(b"word")
        self.seconds(9)
        self.assertEqual(self.state(), "open")
        self.seconds(2)
        self.assertEqual(self.state(), "closing")

    def test_half_closed(self) -> None:
        """A client that ended its side and is owed a word is reset in the end; before that it has its time."""
        self.watched(Timeouts(idle=10, half_closed=20), Asked())
        self.one.dataReceived(b"x")
        self.one.readConnectionLost()
        self.seconds(19)
        self.assertEqual(self.state(), "open")
        self.seconds(1.1)
        self.assertEqual((self.state(), self.counters.half_closed_timeouts), ("reset", 1))

    def test_half_closed_unread(self) -> None:
        """The same where the end was not read, as a word is awaited; what stands before it is answered then."""
        words = Asked()
        self.watched(Timeouts(half_closed=20), words)
        other = self.another()
        for each in (self.one, other):
            each.dataReceived(b"x")
            assert isinstance(each.transport, Abortable)
            each.transport.ended = True
        self.seconds(19)
        words.words[1].callback(b"word")
        self.seconds(1)
        other.dataReceived(b"y")
        words.words[2].callback(b"word")
        other.readConnectionLost()
        self.assertEqual((self.state(), self.state(other)), ("open", "closing"))
        other.connectionLost()
        self.seconds(2)
        self.assertEqual((self.state(), self.counters.half_closed_timeouts), ("reset", 1))

    def test_session(self) -> None:
        """However busy it is, it lasts no longer; closed if it is owed nothing, else reset."""
        words = Asked()
        self.watched(Timeouts(session=10), words)
        waiting = self.another()
        waiting.dataReceived(b"x")
        for _ in range(11):
            self.one.resumeProducing()
            self.seconds(1)
        self.assertEqual((self.state(), self.state(waiting)), ("closing", "reset"))
        self.assertEqual(self.counters.session_timeouts, 2)

    def test_closed_and_does_not_go(self) -> None:
        """A client that does not take what was written before the close is reset a little later; it counts once."""
        self.watched(Timeouts(idle=10))
        self.seconds(11)
        self.assertEqual(self.state(), "closing")
        self.seconds(4)
        self.assertEqual(self.state(), "closing")
        self.seconds(2)
        self.assertEqual((self.state(), self.counters.idle_timeouts), ("reset", 1))

    def test_stopped_process(self) -> None:
        """Who could not be read while the process was stopped was not idle."""
        self.watched(Timeouts(idle=10))
        self.clock.advance(3600)
        self.seconds(9)
        self.assertEqual(self.state(), "open")
        self.seconds(3)
        self.assertEqual(self.state(), "closing")

    def test_busy_process(self) -> None:
        """Who was silent is idle also while the process is so busy that a look at all takes seconds."""
        self.watched(Timeouts(idle=10))
        for _ in range(600):
            self.another()
        at_once = self.clock.callLater
        self.patch(self.clock, "callLater", lambda seconds, *call: at_once(max(seconds, 0.9), *call))
        self.seconds(30)
        self.assertEqual(self.counters.idle_timeouts, 601)

    def test_many(self) -> None:
        """A look at many leaves room for others in between."""
        self.watched(Timeouts(idle=10))
        all_of_them = [self.one, *(self.another() for _ in range(600))]
        calls = 0

        def counted(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            return Clock.callLater(self.clock, *args)

        self.seconds(9.5)
        self.patch(self.clock, "callLater", counted)
        self.seconds(1)
        self.assertGreaterEqual(calls, 3)
        self.assertEqual({self.state(each) for each in all_of_them}, {"closing"})

    def test_stop_in_the_middle(self) -> None:
        """The daemon may stop while a look at many is not over: that is no error."""
        self.watched(Timeouts(idle=10))
        for _ in range(600):
            self.another()
        at_once = self.clock.callLater
        self.patch(self.clock, "callLater", lambda seconds, *call: at_once(max(seconds, 0.9), *call))
        self.seconds(2)
        self.assertTrue(self.watch._cooperator._tasks, "it is in the middle")
        self.watch.stop()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_none(self) -> None:
        """Without timeouts nothing is looked at."""
        self.watched(Timeouts())
        self.assertEqual(self.clock.getDelayedCalls(), [])
