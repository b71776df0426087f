"""Test `echotime path` against far ends that never stop to send, or send reports that are none."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from echotime.client.exit_status import ClientError
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.channel import Channel
from echotime.client.path.outcome import FarEnd, Outcome
from echotime.client.path.route import Route, parse_report
from echotime.client.path.tcp.served import judge_answers
from echotime.client.path.tcp.stream import Stream
from echotime.client.path.tcp.timing import TimingExperiment
from echotime.client.path.udp.datagrams import Datagrams
from echotime.wire.hostport import HostPort

REPORT = b'{"echotime": "1.0", "peer": "10.9.0.2:40000", "server": "10.9.0.1:7001"'


class _Endless:
    """A socket that always has something to receive, after some seconds."""

    def __init__(self, data: bytes, seconds: float) -> None:
        self.clock = Clock()
        self._data = data
        self._seconds = seconds

    def recv(self, size: int) -> bytes:
        """Return data of at most `size` bytes."""
        self.clock.advance(self._seconds)
        return self._data[:size]

    def send(self, data: bytes) -> int:
        """Take all of the data."""
        return len(data)

    def setsockopt(self, *option: int) -> None:
        """Set an option of no effect."""

    def fileno(self) -> int:
        """Return the descriptor of a closed socket, so that closing it does nothing."""
        return -1

    def recvmsg(self, size: int, ancillary: int) -> tuple[bytes, list[Any], int, tuple[str, int]]:
        """Return a datagram from another address than the one that is asked."""
        return self.recv(size), [], 0, ("127.0.0.9", 9)


class _FakeChannel(Channel):
    """A channel of such a socket, which is never waited for."""

    def __init__(self, sock: Any) -> None:
        self.reactor = sock.clock
        self.socket = sock


@pytest.mark.parametrize(("data", "seconds", "most"), [(b"x" * 65536, 0.0, 2**27), (b"x", 0.5, 30)])
def test_endless_connection(data: bytes, seconds: float, most: int) -> None:
    """A flood ends at a number of bytes, and single bytes without end after some time."""
    stream = Stream(_FakeChannel(_Endless(data, seconds)))
    results: list[bool] = []
    Deferred.fromCoroutine(stream.read_until(lambda: len(stream.received) > most, 3.0)).addCallback(results.append)
    assert results == [False]
    assert len(stream.received) <= most


def test_endless_datagrams() -> None:
    """A flood of datagrams ends at a number, and long ones are kept in part."""
    datagrams = Datagrams(Clock(), ResolvedAddress(socket.AF_INET, "127.0.0.1", 9))
    datagrams._channel.socket.close()
    datagrams._channel = _FakeChannel(_Endless(b"x" * 65000, 0.0))
    results: list[bool] = []
    Deferred.fromCoroutine(datagrams.wait(lambda: len(datagrams.arrivals) > 5000, 0.5)).addCallback(results.append)
    assert results == [False]
    assert sum(len(each.data) for each in datagrams.arrivals) < 2**21


def test_endless_trailer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A far end whose first trailer was long, and that sends byte by byte, does not keep the test of times."""
    endless = _Endless(b"x", 1.0)
    stream = Stream(_FakeChannel(endless))

    async def open_trickle(kind: str, **parameters: object) -> Stream:
        return stream

    far_end = FarEnd("1.0", b"x" * 10_000, {}, HostPort("127.0.0.1", 9))
    route = Route(endless.clock, ResolvedAddress(socket.AF_INET, "127.0.0.1", 9), far_end)
    monkeypatch.setattr(route, "open", open_trickle)
    outcomes: list[Outcome] = []
    Deferred.fromCoroutine(TimingExperiment().run(route)).addCallback(outcomes.append)
    assert outcomes
    assert endless.clock.seconds() < 30


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"[" * 4000, id="nested too deeply"),
        pytest.param(REPORT + b', "via": "' + b"v" * 5000 + b'"}', id="a long text"),
        pytest.param(REPORT + b', "mss": ' + b"9" * 4090 + b"}", id="a long number"),
        pytest.param(b'{"echotime": "1.0"}', id="without addresses"),
        pytest.param(b'{"echotime": "1.0", "peer": 5, "server": null}', id="other types"),
        pytest.param(b'{"peer": "10.9.0.2:40000", "server": "10.9.0.1:7001"}', id="without a version"),
        pytest.param(REPORT.replace(b'"1.0"', b"1.5") + b"}", id="a version that is a fraction"),
        pytest.param(REPORT.replace(b'"1.0"', b"null") + b"}", id="a version that is null"),
        pytest.param(REPORT.replace(b'"1.0"', b"[]") + b"}", id="a version that is a list"),
    ],
)
def test_faulty_report(line: bytes) -> None:
    """Refuse a line that is no report, without an exception. Its sender is no echo server."""
    assert parse_report(line, "echotime") is None
    assert parse_report(REPORT + b"}", "echotime")
    with pytest.raises(ClientError) as caught:
        judge_answers([line + b"\ntoken"] * 2, b"token", HostPort("127.0.0.1", 9))
    assert str(caught.value.detail).startswith("not an echo server: it sent")


def test_fractions_in_a_report() -> None:
    """Leave out numbers that have no valid form in JSON, and those of later versions."""
    assert parse_report(REPORT + b', "mss": 1e999, "ttl": NaN, "rtt": 0.5}', "echotime") == parse_report(
        REPORT + b"}", "echotime"
    )
