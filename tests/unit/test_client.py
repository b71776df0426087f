"""Test client/: ping sessions, statistics, and decoding of responses. Time is a Clock."""

from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echotime.client.connect import connect_timeout
from echotime.client.deadline import Deadline
from echotime.client.echo_failure import EchoFailure
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.load import LoadResult
from echotime.client.ping import PingSession, Prober, ReplyKind, Summary
from echotime.client.stats import compute_stats, format_stats, histogram
from echotime.client.time import decode_response
from echotime.client.udp_request import UDPResponse
from echotime.wire import timestamp
from echotime.wire.identify import ReplyFormat, guess_epoch, identify
from echotime.wire.timestamp import Epoch

NOW = 1_795_343_243.25
TIMES = st.lists(st.floats(0, 100), min_size=1, max_size=200)


class Probes:
    """Act as prober and reporter, and record all calls."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.forgotten: list[int] = []
        self.seen: list[tuple[object, ...]] = []
        self.closed = 0

    def probe(self, sequence: int) -> None:
        self.sent.append(sequence)

    def forget(self, sequence: int) -> None:
        self.forgotten.append(sequence)

    def close(self) -> None:
        self.closed += 1

    def reply_received(self, sequence: int, kind: ReplyKind, seconds: float, detail: str) -> None:
        self.seen.append((sequence, kind))

    def probe_failed(self, sequence: int, error: ClientError) -> None:
        self.seen.append((sequence, error.status))

    def describe_loss(self, sequence: int) -> str:
        return "lost"

    def probe_lost(self, sequence: int, reason: str) -> None:
        self.seen.append((sequence, reason))

    def connection_lost(self, error: ClientError | None) -> None:
        self.seen.append(("broke", error))


class PingTests(SynchronousTestCase):
    """Test PingSession with probers that answer, fail or stay silent."""

    def start(self, count: int | None = 3, deadline: float | None = None) -> None:
        """Start a session with one probe per second and a timeout of two seconds."""
        self.clock = Clock()
        self.probes = Probes()
        self.session = PingSession(self.clock, self.probes, count=count, interval=1, timeout=2)

        def make(session: PingSession) -> Prober:
            return self.probes

        self.ended = self.session.start(make, deadline)

    def summary(self) -> Summary:
        """Return the summary, and assert that no delayed call is left."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.probes.closed, 1)
        return self.successResultOf(self.ended)

    def test_all_answered(self) -> None:
        """The session ends with the last answer."""
        self.start()
        for sequence in (1, 2, 3):
            self.session.reply_received(sequence, 0.1, correct=True)
            if sequence < 3:
                self.clock.advance(1)
        found = self.summary()
        self.assertEqual((found.sent, found.received, found.loss, found.seconds), (3, 3, 0, 2))
        self.assertEqual(found.times, [0.1] * 3)

    def test_loss(self) -> None:
        """Without answers the session ends at the timeout of the last probe."""
        self.start()
        self.clock.pump([1] * 4)
        found = self.summary()
        self.assertEqual((found.sent, found.received, found.loss), (3, 0, 100))
        self.assertEqual(self.probes.seen, [(1, "lost"), (2, "lost"), (3, "lost")])

    def test_kinds(self) -> None:
        """A second answer is a duplicate; others are late or wrong."""
        self.start()
        self.session.reply_received(1, 0.1, correct=False)
        self.session.reply_received(1, 0.1, correct=False)
        self.session.reply_received(1, 0.2, correct=True)
        self.session.reply_received(1, 0.3, correct=True)
        self.session.reply_received(1, 0.3, correct=True)
        self.clock.advance(1)
        self.clock.advance(2)
        self.session.reply_received(2, 2.5, correct=True)
        self.session.reply_received(2, 2.5, correct=True)
        wrong, reply, duplicate, late = (
            (1, ReplyKind.WRONG),
            (1, ReplyKind.REPLY),
            (1, ReplyKind.DUPLICATE),
            (2, ReplyKind.LATE),
        )
        self.assertEqual(self.probes.seen, [wrong, wrong, reply, duplicate, duplicate, (2, "lost"), late, late])
        self.session.reply_received(3, 0.1, correct=True)
        found = self.summary()
        self.assertEqual((found.received, found.wrong, found.duplicates, found.late), (2, 2, 2, 2))

    def test_errors(self) -> None:
        """A refused probe is lost at once, and counted as an error."""
        self.start(1)
        self.session.probe_failed(1, ClientError(ExitStatus.REFUSED))
        self.session.probe_failed(1, ClientError(ExitStatus.REFUSED))
        found = self.summary()
        self.assertEqual((found.errors, found.received), (1, 0))
        self.assertEqual(found.last_error, ClientError(ExitStatus.REFUSED))
        self.start(2)
        for sequence in (1, 2):
            self.session.probe_failed(sequence, ClientError(ExitStatus.REFUSED))
            self.clock.advance(1)
        self.assertEqual(self.summary().errors, 2)

    def test_broke(self) -> None:
        """A lost connection ends the session, also between two probes."""
        self.start()
        self.session.reply_received(1, 0.1, correct=True)
        self.session.connection_lost(None)
        self.assertEqual(self.probes.seen[-1], ("broke", None))
        self.assertEqual(self.summary().errors, 1)

    def test_deadline(self) -> None:
        """Without a count the deadline ends the session."""
        self.start(None, 5)
        self.clock.pump([1] * 5)
        self.assertEqual(self.summary().sent, 5)

    def test_stop(self) -> None:
        """stop ends the session, and may be called twice."""
        self.start(None)
        self.session.stop()
        self.session.stop()
        self.assertEqual(self.summary().sent, 1)

    def test_forgets(self) -> None:
        """Old probes are forgotten, so that their sockets are closed."""
        self.start(None)
        for sequence in range(1, 601):
            self.session.reply_received(sequence, 0.1, correct=True)
            self.clock.advance(1)
        self.assertEqual(self.probes.forgotten[:3], [1, 2, 3])
        self.assertEqual(len(self.probes.forgotten), 600 - 512)


class DeadlineTests(SynchronousTestCase):
    """Test Deadline with steps that end before it and at it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.late = ClientError(ExitStatus.TIMED_OUT)

    def test_shared(self) -> None:
        """Steps that begin at different times are cancelled at the same moment."""
        deadline = Deadline(self.clock, 5)
        cancelled: list[Deferred[int]] = []
        steps: list[Deferred[int]] = []
        for _ in range(2):
            steps.append(deadline.limit(Deferred(cancelled.append), self.late))
            self.clock.advance(2)
        self.assertEqual((deadline.remaining, cancelled), (1, []))
        self.clock.advance(1)
        self.assertEqual(len(cancelled), 2)
        for step in steps:
            self.assertEqual(self.failureResultOf(step, ClientError).value, self.late)
        self.assertEqual(deadline.remaining, 0)

    def test_in_time(self) -> None:
        """A step that ends before the deadline leaves no timer."""
        step: Deferred[str] = Deadline(self.clock, 5).limit(Deferred(), self.late)
        step.callback("result")
        self.assertEqual((self.successResultOf(step), self.clock.getDelayedCalls()), ("result", []))

    def test_none(self) -> None:
        """Without a limit there is no timer; a part of the run may have a limit."""
        deadline = Deadline(self.clock, None)
        self.assertNoResult(deadline.limit(Deferred(), self.late))
        self.assertEqual((deadline.remaining, self.clock.getDelayedCalls()), (None, []))
        self.assertEqual(deadline.within(3).remaining, 3)
        self.assertEqual(Deadline(self.clock, 2).within(3).remaining, 2)


@given(TIMES)
def test_figures(times: list[float]) -> None:
    """The statistics are ordered from min to max."""
    found = compute_stats(times)
    assert found.min <= found.p50 <= found.p99 <= found.max
    assert found.min - 1e-9 <= found.avg <= found.max + 1e-9
    assert found.mdev >= 0


def test_figures_of_known_times() -> None:
    """The line has milliseconds, nearest-rank quantiles, and ping's mdev."""
    assert (
        format_stats([0.001, 0.002, 0.003, 0.004])
        == "min/avg/max/mdev/p50/p99 = 1.000/2.500/4.000/1.118/2.000/4.000 ms"
    )


@given(TIMES)
def test_histogram(times: list[float]) -> None:
    """Every time is in one bar, the longest bar is full, and there are at most 14 bars."""
    assert max(map(len, histogram(times, width=60))) <= 60
    bars = histogram(times)
    counts = [int(bar.rpartition(" ")[2]) for bar in bars]
    assert sum(counts) == len(times)
    assert len(bars) <= 14
    assert any("#" * 50 in bar for bar in bars)


@pytest.mark.parametrize(
    ("seconds", "answer_seconds", "offset"),
    [(NOW, int(NOW), 0.25), (NOW, int(NOW) + 100, 100.25), (2**32 + 5.25, 5, 0.25), (2**32 - 3.75, 1, 5.25)],
)
def test_reading(seconds: float, answer_seconds: int, offset: float) -> None:
    """The offset is from the middle of the second to the middle of the round trip, with the wrap undone."""
    found = decode_response(UDPResponse(struct.pack("!I", answer_seconds), 0.0, seconds), Epoch.UNIX)
    assert found.offset == pytest.approx(offset)
    assert found.uncertainty == 0.5
    assert found.wrapped == (seconds > 2**32 or answer_seconds == 1)


@given(st.floats(0, 2**33), st.integers(-(2**31) + 1, 2**31 - 1))
def test_unwrapped(near: float, distance: int) -> None:
    """Four bytes stand for the nearest time, up to 68 years away."""
    true = int(near) + distance
    assert abs(timestamp.nearest_era(true % 2**32, near) - true) in {0, 2**32}
    if abs(true - near) < 2**31 - 1:
        assert timestamp.nearest_era(true % 2**32, near) == true


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (struct.pack("!q", int(NOW)), ReplyFormat.UNIX_64),
        (struct.pack("!q", int(NOW) + 2_208_988_800), ReplyFormat.RFC868_64),
        (struct.pack("!I", int(NOW) + 2_208_988_800) + bytes(4), ReplyFormat.RFC868_64),
        (struct.pack("!I", int(NOW)), ReplyFormat.UNKNOWN),
        (b"\x1c" + bytes(47), ReplyFormat.NTP),
        (bytes(48), ReplyFormat.UNKNOWN),
        (b"Sun Nov 22\r\n", ReplyFormat.TEXT),
        (b"", ReplyFormat.UNKNOWN),
    ],
)
def test_recognised(answer: bytes, kind: ReplyFormat) -> None:
    """Responses of other services are recognized by their format and the time of day."""
    assert identify(answer, NOW) is kind


@pytest.mark.parametrize(
    ("seconds", "epoch"), [(NOW, Epoch.UNIX), (NOW + 2_208_988_800, Epoch.RFC868), (0, None), (NOW - 90_000, None)]
)
def test_epoch_guess(seconds: float, epoch: Epoch | None) -> None:
    """The epoch is known if the four bytes are a current time with it."""
    assert guess_epoch(struct.pack("!I", int(seconds) % 2**32), NOW) is epoch


@given(st.binary(max_size=60))
def test_recognises_anything(answer: bytes) -> None:
    """Any bytes get a format, without an exception."""
    assert identify(answer, NOW) in ReplyFormat


@pytest.mark.parametrize(
    ("number", "status", "detail"),
    [
        (errno.ECONNREFUSED, ExitStatus.REFUSED, "Connection refused (ECONNREFUSED)"),
        (errno.EPIPE, ExitStatus.RESET, "Broken pipe (EPIPE)"),
        (errno.ENETDOWN, ExitStatus.FAILED, "Network is down (ENETDOWN)"),
        (9999, ExitStatus.FAILED, "Unknown error 9999 (9999)"),
    ],
)
def test_errno(number: int, status: ExitStatus, detail: str) -> None:
    """An errno has its exit status, its description and its name."""
    found = ClientError.from_errno(number)
    assert (found.status, found.detail) == (status, detail)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (error.ConnectionRefusedError(), ExitStatus.REFUSED),
        (error.TimeoutError(), ExitStatus.TIMED_OUT),
        (error.ConnectionLost(), ExitStatus.RESET),
        (error.NoRouteError(errno.EHOSTUNREACH, "x"), ExitStatus.FAILED),
        (error.ConnectError(errno.ECONNREFUSED, "x"), ExitStatus.REFUSED),
        (ClientError(ExitStatus.NO_ANSWER), ExitStatus.NO_ANSWER),
        (ValueError("x"), ExitStatus.FAILED),
    ],
)
def test_statuses(reason: Exception, status: ExitStatus) -> None:
    """Exceptions of Twisted become the documented exit statuses."""
    assert ClientError.from_failure(Failure(reason)).status is status


def test_kinds_of_failures() -> None:
    """Failures that are described alike are one kind, whatever their errno."""
    result = LoadResult()
    for session, number in enumerate((errno.ECONNRESET, errno.EPIPE, errno.EMFILE, errno.ENETUNREACH, errno.EMFILE), 1):
        result.add_failure(session, ClientError.from_errno(number))
    result.add_failure(6, ClientError.from_failure(Failure(error.ConnectionLost())))
    timed_out = EchoFailure(ClientError(ExitStatus.TIMED_OUT), 1, 0, None, None)
    for session, failure in enumerate((connect_timeout(), timed_out, connect_timeout(), timed_out), 7):
        result.add_failure(session, failure)
    kinds = [(kind.session, kind.count) for kind in result.failures.values()]
    assert kinds == [(1, 3), (3, 2), (4, 1), (7, 2), (8, 2)]
