"""Test services/timeouts.py: connections that stay too long are closed, or reset if output is pending."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echotime.services.echo_factory import EchoFactory
from echotime.services.replies import IReplySource
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.timeouts import TimeoutMonitor, Timeouts
from echotime.services.traffic import TrafficLog
from tests.unit.test_echo import Abortable, PendingReplies

PEER = IPv4Address("TCP", "127.0.0.1", 1945)


class TimeoutTests(SynchronousTestCase):
    """Monitor connections on a fake clock."""

    def watched(self, timeouts: Timeouts, source: IReplySource | None = None) -> None:
        """Start a monitor with a factory and one connection."""
        self.clock = Clock()
        self.factory = EchoFactory(TrafficLog(self.clock, 0), reply_source=source)
        self.counters = self.factory.traffic.counters
        self.watch = TimeoutMonitor(self.factory, self.clock, timeouts)
        self.watch.start()
        self.one = self.another()
        assert isinstance(self.one.transport, Abortable)
        self.transport = self.one.transport

    def tearDown(self) -> None:
        """Check that no timer is left."""
        self.watch.stop()
        for each in list(self.factory.connections):
            each.connectionLost()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def another(self) -> EchoProtocol:
        """Open another connection of the factory."""
        protocol = self.factory.admit(PEER)
        assert protocol is not None
        protocol.makeConnection(Abortable(peerAddress=PEER))
        return protocol

    def seconds(self, number: float) -> None:
        """Advance the clock in small steps."""
        self.clock.pump([0.1] * round(number * 10))

    def state(self, protocol: EchoProtocol | None = None) -> str:
        """Return the state of a connection's transport."""
        transport = (protocol or self.one).transport
        assert isinstance(transport, Abortable)
        return "reset" if transport.aborted else "closing" if transport.disconnecting else "open"

    def test_idle(self) -> None:
        """A connection idle for the timeout, give or take a tenth, is closed; others are not."""
        self.watched(Timeouts(idle=10))
        self.seconds(9)
        busy = self.another()
        self.assertEqual(self.state(), "open")
        self.seconds(2)
        self.assertEqual((self.state(), self.state(busy)), ("closing", "open"))
        self.assertEqual(self.counters.idle_timeouts, 1)

    def test_active(self) -> None:
        """A message, and space in the send buffer, restart the timeout."""
        self.watched(Timeouts(idle=10))
        for act in (lambda: self.one.dataReceived(b"x"), self.one.resumeProducing) * 2:
            self.seconds(9)
            act()
        self.seconds(9)
        self.assertEqual(self.state(), "open")

    def test_does_not_read(self) -> None:
        """A client that does not read its replies is reset, as it would miss some."""
        self.watched(Timeouts(idle=10))
        self.one.dataReceived(b"x")
        self.one.pauseProducing()
        self.transport.unacked = 12
        self.seconds(11)
        self.assertEqual(self.state(), "reset")

    def test_reads_slowly(self) -> None:
        """A client that reads a little now and then is not idle, though its buffer stays full."""
        self.watched(Timeouts(idle=10))
        self.one.dataReceived(b"x")
        self.one.pauseProducing()
        self.transport.unacked = 12
        for _ in range(5):
            self.transport.unacked -= 1
            self.seconds(9)
        self.assertEqual(self.state(), "open")
        self.seconds(3)
        self.assertEqual(self.state(), "reset")

    def test_waits_for_its_reply(self) -> None:
        """The timeout does not run while a reply is pending, and starts when it comes."""
        source = PendingReplies()
        self.watched(Timeouts(idle=10), source)
        self.one.dataReceived(b"x")
        self.seconds(100)
        self.assertEqual(self.state(), "open")
        source.replies[0].callback(b"reply")
        self.seconds(9)
        self.assertEqual(self.state(), "open")
        self.seconds(3)
        self.assertEqual(self.state(), "closing")

    def test_half_closed(self) -> None:
        """A half-closed client with a pending reply is reset after its own timeout."""
        self.watched(Timeouts(idle=10, half_closed=20), PendingReplies())
        self.one.dataReceived(b"x")
        self.one.readConnectionLost()
        self.seconds(19)
        self.assertEqual(self.state(), "open")
        self.seconds(1.1)
        self.assertEqual((self.state(), self.counters.half_closed_timeouts), ("reset", 1))

    def test_half_closed_unread(self) -> None:
        """An end of file that is unread behind a pending reply counts as a half-close."""
        source = PendingReplies()
        self.watched(Timeouts(half_closed=20), source)
        other = self.another()
        for each in (self.one, other):
            each.dataReceived(b"x")
            assert isinstance(each.transport, Abortable)
            each.transport.ended = True
        self.seconds(19)
        source.replies[1].callback(b"reply")
        self.seconds(1)
        other.dataReceived(b"y")
        source.replies[2].callback(b"reply")
        other.readConnectionLost()
        self.assertEqual((self.state(), self.state(other)), ("open", "closing"))
        other.connectionLost()
        self.seconds(2)
        self.assertEqual((self.state(), self.counters.half_closed_timeouts), ("reset", 1))

    def test_session(self) -> None:
        """A busy connection ends at the session timeout: closed without pending output, else reset."""
        source = PendingReplies()
        self.watched(Timeouts(session=10), source)
        waiting = self.another()
        waiting.dataReceived(b"x")
        for _ in range(11):
            self.one.resumeProducing()
            self.seconds(1)
        self.assertEqual((self.state(), self.state(waiting)), ("closing", "reset"))
        self.assertEqual(self.counters.session_timeouts, 2)

    def test_closed_and_does_not_go(self) -> None:
        """A closed client that does not read its last output is reset a little later, and counts once."""
        self.watched(Timeouts(idle=10))
        self.seconds(11)
        self.assertEqual(self.state(), "closing")
        self.seconds(4)
        self.assertEqual(self.state(), "closing")
        self.seconds(2)
        self.assertEqual((self.state(), self.counters.idle_timeouts), ("reset", 1))

    def test_stopped_process(self) -> None:
        """The time in which the process was stopped does not count as idle."""
        self.watched(Timeouts(idle=10))
        self.clock.advance(3600)
        self.seconds(9)
        self.assertEqual(self.state(), "open")
        self.seconds(3)
        self.assertEqual(self.state(), "closing")

    def test_busy_process(self) -> None:
        """An idle connection is found also by a process so busy that a pass takes seconds."""
        self.watched(Timeouts(idle=10))
        for _ in range(600):
            self.another()
        at_once = self.clock.callLater
        self.patch(self.clock, "callLater", lambda seconds, *call: at_once(max(seconds, 0.9), *call))
        self.seconds(30)
        self.assertEqual(self.counters.idle_timeouts, 601)

    def test_many(self) -> None:
        """A pass over many connections yields to others in between."""
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
        """A stop during a pass over many connections is not an error."""
        self.watched(Timeouts(idle=10))
        for _ in range(600):
            self.another()
        at_once = self.clock.callLater
        self.patch(self.clock, "callLater", lambda seconds, *call: at_once(max(seconds, 0.9), *call))
        self.seconds(2)
        self.assertTrue(self.watch._cooperator._tasks, "the pass should still run")
        self.watch.stop()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_none(self) -> None:
        """Without timeouts no timer runs."""
        self.watched(Timeouts())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_every_state(self) -> None:
        """Each timeout ends each state that docs/configuration.md says it ends, and no other."""
        for (name, enter), ends in STATES.items():
            for timeout, expected in zip(TIMEOUTS, ends, strict=True):
                self.watched(timeout, PendingReplies() if "reply" in name else None)
                enter(self)
                self.seconds(13)
                self.assertEqual(self.state(), expected, f"{name}, {timeout}")
                self.tearDown()

    def send(self) -> None:
        """Send a message whose answer the client acknowledges."""
        self.one.dataReceived(b"x")

    def stop_reading(self) -> None:
        """Send a message, and acknowledge nothing of an answer that the kernel has taken."""
        self.send()
        self.transport.unacked = 12

    def fill_buffer(self) -> None:
        """Send a message, and acknowledge nothing of an answer that fills the transport's buffer."""
        self.stop_reading()
        self.transport.unsent = 5
        self.one.pauseProducing()

    def end_of_file(self) -> None:
        """Half-close. The daemon reads the FIN unless it has stopped reading."""
        self.transport.ended = True
        if not self.one.paused:
            self.one.readConnectionLost()

    def half_close_unread(self) -> None:
        """Half-close, and do not read. The FIN was read before the buffer was full."""
        self.fill_buffer()
        self.one.readConnectionLost()

    def half_close_waiting(self) -> None:
        """Half-close while a reply is awaited."""
        self.send()
        self.end_of_file()

    def half_close_waiting_unread(self) -> None:
        """Half-close while a reply is awaited, and acknowledge nothing."""
        self.stop_reading()
        self.end_of_file()

    def half_close_behind_output(self) -> None:
        """Half-close while the daemon does not read."""
        self.fill_buffer()
        self.end_of_file()

    def close_unread(self) -> None:
        """Have the daemon close the connection of a client that does not read."""
        self.fill_buffer()
        self.one.close("operator")

    def close_half_closed(self) -> None:
        """Have the daemon close a half-closed connection whose client does not read."""
        self.half_close_unread()
        self.one.close("operator")


TIMEOUTS = (Timeouts(), Timeouts(idle=10), Timeouts(half_closed=10), Timeouts(session=10))
ALWAYS = ("reset",) * 4
STATES = {
    ("nothing sent", lambda test: None): ("open", "closing", "open", "closing"),
    ("all acknowledged", TimeoutTests.send): ("open", "closing", "open", "closing"),
    ("output in the kernel", TimeoutTests.stop_reading): ("open", "reset", "open", "closing"),
    ("output in the buffer", TimeoutTests.fill_buffer): ("open", "reset", "open", "reset"),
    ("reply awaited", TimeoutTests.send): ("open", "open", "open", "reset"),
    ("reply awaited, output in the kernel", TimeoutTests.stop_reading): ("open", "reset", "open", "reset"),
    ("reply awaited, output in the buffer", TimeoutTests.fill_buffer): ("open", "reset", "open", "reset"),
    ("half-closed, output in the buffer", TimeoutTests.half_close_unread): ("closing", "reset", "reset", "reset"),
    ("half-closed, FIN unread", TimeoutTests.half_close_behind_output): ("open", "reset", "reset", "reset"),
    ("half-closed, reply awaited", TimeoutTests.half_close_waiting): ("open", "open", "reset", "reset"),
    ("half-closed, reply awaited, output in the kernel", TimeoutTests.half_close_waiting_unread): (
        "open",
        "reset",
        "reset",
        "reset",
    ),
    ("closed by an operator, output in the buffer", TimeoutTests.close_unread): ALWAYS,
    ("half-closed, closed by an operator", TimeoutTests.close_half_closed): ALWAYS,
}
"""By state of the connection: what it is after the idle, the half-closed and the session timeout; first without any."""
