"""limits/loop_guard.py, and TimeProtocol with it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from twisted.internet.testing import StringTransport

from echotime.counters import ServiceCounters
from echotime.limits.loop_guard import MAX_CONSECUTIVE, LoopGuard
from echotime.net.pktinfo import SourceAddress
from echotime.services.udp_time import TimeProtocol
from echotime.wire.timestamp import Epoch

NOW = 1_795_343_243
PEER, OTHER = SourceAddress(("192.0.2.1", 12345)), SourceAddress(("192.0.2.1", 40000))


def guard(most: int = 10) -> LoopGuard:
    """Return a guard whose clock stands still at NOW."""
    return LoopGuard(lambda: NOW, most)


def answer(seconds: int = NOW, epoch: Epoch = Epoch.UNIX) -> bytes:
    """Return the response of a time server."""
    return struct.pack("!I", (seconds + epoch.value) % 2**32)


def test_answers_in_a_row() -> None:
    """Datagrams that look like responses are answered three times in a row, for each address and port."""
    one = guard()
    assert [one.refuses(answer(), PEER) for _ in range(6)] == [False] * MAX_CONSECUTIVE + [True] * 3
    assert not one.refuses(answer(), OTHER)
    assert set(one.suspect_ports) == {12345, 40000}


def test_something_else_ends_it() -> None:
    """After another datagram a source is answered again."""
    one = guard()
    for _ in range(5):
        one.refuses(answer(), PEER)
    assert not one.refuses(b"", PEER)
    assert set(one.suspect_ports) == set()
    assert [one.refuses(answer(), PEER) for _ in range(4)] == [False, False, False, True]


@pytest.mark.parametrize("epoch", Epoch)
@pytest.mark.parametrize("off", [-3600, 0, 3600])
def test_either_epoch(epoch: Epoch, off: int) -> None:
    """A time within an hour of the clock looks like a response, from either epoch."""
    one = guard()
    assert [one.refuses(answer(NOW + off, epoch), PEER) for _ in range(4)][-1] is True


@pytest.mark.parametrize("datagram", [b"", b"x", b"ping", answer() + b"x", answer(NOW - 3601), answer(NOW + 3601)])
def test_ordinary_datagrams(datagram: bytes) -> None:
    """Any other datagram is always answered, and its source is not remembered."""
    one = guard()
    assert not any(one.refuses(datagram, PEER) for _ in range(10))
    assert not one.suspect_ports


def test_at_the_turn_of_the_count() -> None:
    """Times on both sides of the wrap in 2106 are near each other."""
    one = LoopGuard(lambda: 2.0**32 + 5)
    assert [one.refuses(answer(2**32 - 5), PEER) for _ in range(4)][-1] is True


def test_bounded() -> None:
    """At the limit the longest silent source is forgotten."""
    one = guard(most=2)
    for _ in range(4):
        one.refuses(answer(), PEER)
    one.refuses(answer(), OTHER)
    assert one.refuses(answer(), PEER), "still known, and now the youngest"
    one.refuses(answer(), SourceAddress(("192.0.2.2", 1)))
    assert set(one.suspect_ports) == {12345, 1}
    assert one.refuses(answer(), PEER)


class Sent(StringTransport):
    """A transport that accepts an address."""

    def write(self, data: bytes, addr: Any = None) -> None:
        super().write(data)


def test_protocol() -> None:
    """The protocol ignores and counts such datagrams, and remembers their source ports."""
    counters = ServiceCounters()
    protocol = TimeProtocol(lambda: NOW, counters)
    protocol.transport = Sent()  # type: ignore[assignment]
    for _ in range(5):
        protocol.datagramReceived(answer(), PEER)
    assert (counters.datagrams, counters.refused_loop) == (3, 2)
    assert list(protocol.policy._guard.suspect_ports) == [12345]
    protocol.datagramReceived(b"?", PEER)
    assert (counters.datagrams, counters.refused_loop, list(protocol.policy._guard.suspect_ports)) == (4, 2, [])
