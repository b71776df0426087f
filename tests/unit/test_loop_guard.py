"""Test limits/loop_guard.py, and its use by TimeProtocol."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from twisted.internet.testing import StringTransport

from echotime.counters import ServiceCounters
from echotime.limits.loop_guard import MAX_CONSECUTIVE, LoopGuard
from echotime.services.udp_time import TimeProtocol
from echotime.wire.timestamp import Epoch

NOW = 1_795_343_243
PEER, OTHER = ("192.0.2.1", 12345), ("192.0.2.1", 40000)


def guard(most: int = 10) -> LoopGuard:
    """Make a guard whose clock stands still."""
    return LoopGuard(lambda: NOW, most)


def answer(seconds: int = NOW, epoch: Epoch = Epoch.UNIX) -> bytes:
    """Return the answer of a time server."""
    return struct.pack("!I", (seconds + epoch.value) % 2**32)


def test_answers_in_a_row() -> None:
    """Datagrams that look like our answers are answered three times in a row per address and port."""
    one = guard()
    assert [one.should_answer(answer(), PEER) for _ in range(6)] == [True] * MAX_CONSECUTIVE + [False] * 3
    assert one.should_answer(answer(), OTHER)
    assert set(one.suspect_ports) == {12345, 40000}


def test_something_else_ends_it() -> None:
    """A source that sends something else is answered again."""
    one = guard()
    for _ in range(5):
        one.should_answer(answer(), PEER)
    assert one.should_answer(b"", PEER)
    assert set(one.suspect_ports) == set()
    assert [one.should_answer(answer(), PEER) for _ in range(4)] == [True, True, True, False]


@pytest.mark.parametrize("epoch", Epoch)
@pytest.mark.parametrize("off", [-3600, 0, 3600])
def test_either_epoch(epoch: Epoch, off: int) -> None:
    """A time within an hour of ours, in either epoch, looks like an answer."""
    one = guard()
    assert [one.should_answer(answer(NOW + off, epoch), PEER) for _ in range(4)][-1] is False


@pytest.mark.parametrize("datagram", [b"", b"x", b"ping", answer() + b"x", answer(NOW - 3601), answer(NOW + 3601)])
def test_ordinary_datagrams(datagram: bytes) -> None:
    """Other datagrams are always answered, and their source is not remembered."""
    one = guard()
    assert all(one.should_answer(datagram, PEER) for _ in range(10))
    assert not one.suspect_ports


def test_at_the_turn_of_the_count() -> None:
    """Times on both sides of the wrap in 2106 are near each other."""
    one = LoopGuard(lambda: 2.0**32 + 5)
    assert [one.should_answer(answer(2**32 - 5), PEER) for _ in range(4)][-1] is False


def test_bounded() -> None:
    """When there are too many sources, the one idle for longest is forgotten."""
    one = guard(most=2)
    for _ in range(4):
        one.should_answer(answer(), PEER)
    one.should_answer(answer(), OTHER)
    assert not one.should_answer(answer(), PEER), "no longer known"
    one.should_answer(answer(), ("192.0.2.2", 1))
    assert set(one.suspect_ports) == {12345, 1}
    assert not one.should_answer(answer(), PEER)


class Sent(StringTransport):
    """Accept datagrams as a UDP transport does."""

    def write(self, data: bytes, addr: Any = None) -> None:
        super().write(data)


def test_protocol() -> None:
    """The protocol drops and counts the datagrams of a loop, and names the suspect ports."""
    counters = ServiceCounters()
    protocol = TimeProtocol(lambda: NOW, counters)
    protocol.transport = Sent()  # type: ignore[assignment]
    for _ in range(5):
        protocol.datagramReceived(answer(), PEER)
    assert (counters.datagrams, counters.loop_dropped) == (3, 2)
    assert list(protocol.per_datagram_ports) == [12345]
    protocol.datagramReceived(b"?", PEER)
    assert (counters.datagrams, counters.loop_dropped, list(protocol.per_datagram_ports)) == (4, 2, [])
