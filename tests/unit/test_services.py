"""Test the rest of services/ and limits/log_rate.py: time, line limit, traffic, drain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from echotime.counters import ServiceCounters
from echotime.limits.log_rate import LogRateLimiter
from echotime.net.pktinfo import SourceAddress
from echotime.services.drain import QUIET_INTERVAL, Drain
from echotime.services.echo_factory import EchoFactory
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import MAX_CONNECTION_LINES, TrafficLog
from echotime.services.udp_time import TimeProtocol
from echotime.wire.timestamp import Epoch


class Sent:
    """Record the datagrams written to a UDP transport."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, Any]] = []

    def write(self, datagram: bytes, addr: Any) -> None:
        self.datagrams.append((datagram, addr))


class TimeTests(SynchronousTestCase):
    """Answer datagrams with a TimeProtocol."""

    def answers(self, epoch: Epoch, *times: float) -> list[tuple[bytes, Any]]:
        """Return the answers at these times of the clock."""
        clock = iter(times)
        counters = ServiceCounters()
        protocol = TimeProtocol(lambda: next(clock), counters, epoch)
        sent = Sent()
        protocol.transport = sent  # type: ignore[assignment]
        for size in range(len(times)):
            protocol.datagramReceived(bytes(size), SourceAddress(("192.0.2.1", size)))
        self.assertEqual(counters.datagrams, len(times))
        return sent.datagrams

    def test_clock(self) -> None:
        """Each datagram is answered to its sender with the current time, around the ends of its range."""
        self.assertEqual(
            self.answers(Epoch.UNIX, 2**31 - 1, 2**31, 2**32 - 1, 2**32),
            [
                (b"\x7f\xff\xff\xff", ("192.0.2.1", 0)),
                (b"\x80\x00\x00\x00", ("192.0.2.1", 1)),
                (b"\xff\xff\xff\xff", ("192.0.2.1", 2)),
                (b"\x00\x00\x00\x00", ("192.0.2.1", 3)),
            ],
        )

    def test_epoch(self) -> None:
        """--epoch 1900 counts seconds from 1900."""
        self.assertEqual(self.answers(Epoch.RFC868, 0)[0][0], b"\x83\xaa\x7e\x80")


class LogRateLimiterTests(SynchronousTestCase):
    """Limit lines with a LogRateLimiter."""

    def setUp(self) -> None:
        """Allow two lines a second."""
        self.clock = Clock()
        self.reports: list[int] = []
        self.limit = LogRateLimiter(2, self.clock, self.reports.append)

    def allowed(self, lines: int) -> int:
        """Return the number of lines that are allowed now."""
        return sum(self.limit.allows() for _ in range(lines))

    def test_within(self) -> None:
        """Lines within the limit pass, and nothing is reported or left in the reactor."""
        self.assertEqual(self.allowed(2), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_beyond(self) -> None:
        """Lines beyond the limit are left out, and their number is reported once, without a further line."""
        self.assertEqual(self.allowed(10), 2)
        self.clock.advance(1)
        self.assertEqual(self.reports, [8])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_next_second(self) -> None:
        """The next second has its own limit."""
        self.allowed(10)
        self.clock.advance(1)
        self.assertEqual(self.allowed(10), 2)
        self.clock.advance(1)
        self.assertEqual(self.reports, [8, 8])

    def test_flush(self) -> None:
        """At the end the number left out so far is reported, and only once."""
        self.allowed(3)
        self.limit.flush()
        self.clock.advance(1)
        self.assertEqual(self.reports, [1, 0])

    def test_other_limit(self) -> None:
        """Another limit begins a new second and reports what was left out; the same one changes nothing."""
        self.allowed(5)
        self.limit.set_max_lines(2)
        self.assertEqual(self.allowed(1), 0)
        self.limit.set_max_lines(3)
        self.assertEqual((self.allowed(9), self.reports), (3, [4]))
        self.clock.advance(1)
        self.assertEqual((self.reports, self.clock.getDelayedCalls()), ([4, 6], []))

    def test_no_line(self) -> None:
        """With a limit of 0 nothing is allowed, counted or left in the reactor, also in a second that had its lines."""
        self.allowed(5)
        self.limit.set_max_lines(0)
        self.assertEqual((self.allowed(9), self.limit.suppressing), (0, True))
        self.limit.flush()
        self.assertEqual((self.reports, self.clock.getDelayedCalls()), ([3, 0], []))


@dataclass
class FakeProtocol:
    """Stand for the part of an EchoProtocol that TrafficLog uses."""

    messages: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    peer: str = "peer:1"
    via: str = ""
    behavior: str = ""
    number: int = 1
    connected_at: float = 0.0
    transport: Any = None


class TrafficTests(SynchronousTestCase):
    """Log and count with a TrafficLog."""

    def setUp(self) -> None:
        """Collect the lines that echotime logs."""
        self.clock = Clock()
        self.lines: list[str] = []

        @provider(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event.get("log_namespace", "").startswith("echotime"):
                self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def test_lines(self) -> None:
        """A session logs its connection, messages and end."""
        traffic = TrafficLog(self.clock, message_rate=100)
        protocol = FakeProtocol(1, 8, 19)
        traffic.message_received(protocol, b"{hello}\n")
        traffic.connection_closed(protocol, "client")
        self.assertEqual(
            self.lines,
            [
                "connection from peer:1",
                r"peer:1: {hello}\n",
                "connection from peer:1 ended by client, 8 bytes in, 19 bytes out",
            ],
        )
        self.assertEqual(traffic.counters, ServiceCounters(connections=1, messages=1, bytes_in=8, bytes_out=19))

    def test_behavior(self) -> None:
        """The end of a connection of --behave is logged with its behavior, which a client may have chosen."""
        TrafficLog(self.clock).connection_closed(FakeProtocol(1, 8, 19, behavior="corrupt:offset=1"), "client")
        ended = "connection from peer:1 ended by client, 8 bytes in, 19 bytes out, behavior: corrupt:offset=1"
        self.assertEqual(self.lines, [ended])

    def test_silent(self) -> None:
        """A connection without a message is counted and not logged."""
        traffic = TrafficLog(self.clock)
        traffic.connection_closed(FakeProtocol(), "client")
        self.assertEqual(self.lines, [])
        self.assertEqual(traffic.counters, ServiceCounters(connections=1, empty_connections=1))

    def test_log_empty(self) -> None:
        """With `log_empty` the end of a connection without a message is logged, by the limit of connection lines."""
        traffic = TrafficLog(self.clock)
        traffic.log_empty = True
        for _ in range(MAX_CONNECTION_LINES + 1):
            traffic.connection_closed(FakeProtocol(), "client")
        self.assertEqual(
            self.lines, ["connection from peer:1 ended by client, 0 bytes in, 0 bytes out"] * MAX_CONNECTION_LINES
        )
        self.assertEqual(traffic.counters.empty_connections, MAX_CONNECTION_LINES + 1)

    def test_left_out(self) -> None:
        """Message lines and connection lines have separate limits and reports."""
        traffic = TrafficLog(self.clock, 3)
        for _ in range(MAX_CONNECTION_LINES + 5):
            traffic.message_received(FakeProtocol(1), b"m")
        self.assertEqual(len(self.lines), MAX_CONNECTION_LINES + 3)
        traffic.flush()
        self.assertEqual(
            self.lines[-2:],
            [
                f"message lines left out in the last second: {MAX_CONNECTION_LINES + 2}",
                "connection lines left out in the last second: 5",
            ],
        )


class FakeConnection:
    """Stand for the part of an EchoProtocol that Drain uses; the test ends it."""

    def __init__(self, factory: EchoFactory) -> None:
        self.factory = factory
        self.last_active = 0
        self.has_pending_output = False
        self.closing = False
        self.done: list[str] = []
        factory.connections.add(self)  # type: ignore[arg-type]

    def close(self, reason: str) -> None:
        self.done.append(f"closed by {reason}")
        self.end()

    def reset(self, reason: str) -> None:
        self.done.append(reason)
        self.end()

    def end(self) -> None:
        """Remove the connection from its factory."""
        self.factory.connections.discard(self)
        self.factory.notify_if_empty()


class DrainTests(SynchronousTestCase):
    """Drain the connections of a factory."""

    def setUp(self) -> None:
        """Allow five seconds for the connections of a factory."""
        self.clock = Clock()
        self.factory = EchoFactory(TrafficLog(self.clock))
        self.drain = Drain(self.factory, self.clock, 5)

    def ticks(self, number: int) -> None:
        """Let so many ticks pass."""
        self.clock.pump([QUIET_INTERVAL] * number)

    def test_nothing_open(self) -> None:
        """Without connections the drain ends at once, leaving nothing in the reactor."""
        self.successResultOf(self.drain.start())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idle(self) -> None:
        """A quiet connection without pending output is closed after a tick."""
        connection = FakeConnection(self.factory)
        ended = self.drain.start()
        self.assertEqual(connection.done, [])
        self.ticks(1)
        self.assertEqual(connection.done, ["closed by server"])
        self.successResultOf(ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_busy(self) -> None:
        """A connection that goes on sending messages is served until it is quiet."""
        connection = FakeConnection(self.factory)
        ended = self.drain.start()
        for _ in range(10):
            connection.last_active += 1
            self.ticks(1)
        self.assertNoResult(ended)
        self.ticks(1)
        self.assertEqual(connection.done, ["closed by server"])

    def test_owed(self) -> None:
        """A connection with pending output is kept until the output has left, and then closed."""
        connection = FakeConnection(self.factory)
        connection.has_pending_output = True
        ended = self.drain.start()
        self.ticks(15)
        self.assertNoResult(ended)
        connection.has_pending_output = False
        self.ticks(1)
        self.assertEqual(connection.done, [], "not read since, so it may have sent more")
        self.ticks(1)
        self.assertEqual(connection.done, ["closed by server"])

    def test_ended_by_client(self) -> None:
        """A connection that the client has ended is left to its last replies."""
        connection = FakeConnection(self.factory)
        connection.closing = True
        self.drain.start()
        self.ticks(10)
        self.assertEqual(connection.done, [])
        connection.end()

    def assert_reset(self, act: Callable[[], object]) -> None:
        """Check that connections with pending output are reset by an act, which ends the drain."""
        connection = FakeConnection(self.factory)
        connection.has_pending_output = True
        ended = self.drain.start()
        act()
        self.assertEqual(connection.done, ["server's reset"])
        self.successResultOf(ended)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deadline(self) -> None:
        """Connections left at the deadline are reset."""
        self.assert_reset(lambda: self.clock.advance(5))

    def test_end_now(self) -> None:
        """abort() does not wait for the deadline."""
        self.assert_reset(self.drain.abort)

    def test_end_now_before_start(self) -> None:
        """A second signal before the drain has begun leaves the drain no time."""
        connection = FakeConnection(self.factory)
        connection.has_pending_output = True
        self.drain.abort()
        self.assertEqual(connection.done, [])
        ended = self.drain.start()
        self.clock.advance(0)
        self.assertEqual(connection.done, ["server's reset"])
        self.successResultOf(ended)

    def test_real_protocols(self) -> None:
        """Drain uses only attributes that EchoProtocol has."""
        for name in ("last_active", "has_pending_output", "closing", "close", "reset"):
            self.assertIn(name, {*dir(EchoProtocol()), *EchoProtocol.__annotations__})
