"""limits/loop_guard.py, and TimeProtocol with it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from echotime.counters import ServiceCounters
from echotime.limits.loop_guard import MAX_ANSWERED, MEMORY, LoopGuard
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


def test_three_are_answered() -> None:
    """Of datagrams that look like responses, three are answered, for each address and port."""
    one = guard()
    assert [one.refuses(answer(), PEER) for _ in range(6)] == [False] * MAX_ANSWERED + [True] * 3
    assert not one.refuses(answer(), OTHER)
    assert not one.refuses(b"", PEER), "any other datagram is answered"
    assert one.refuses(answer(), PEER)


def test_interface_of_a_link_local_address() -> None:
    """The same link-local address on two interfaces is two sources."""
    one = guard()
    here, there = (SourceAddress(("fe80::1", 12345, 0, scope)) for scope in (2, 3))
    assert [one.refuses(answer(), here) for _ in range(4)][-1] is True
    assert not one.refuses(answer(), there)


def test_forgotten() -> None:
    """A source is forgotten some time after its last answer, whatever it sends until then."""
    monotonic = Clock()
    one = LoopGuard(lambda: NOW, monotonic=monotonic.seconds)
    assert [one.refuses(answer(), PEER) for _ in range(4)] == [False, False, False, True]
    monotonic.advance(MEMORY)
    assert one.refuses(answer(), PEER)
    monotonic.advance(1)
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
    assert not one._answered


def test_at_the_turn_of_the_count() -> None:
    """Times on both sides of the wrap in 2106 are near each other."""
    one = LoopGuard(lambda: 2.0**32 + 5)
    assert [one.refuses(answer(2**32 - 5), PEER) for _ in range(4)][-1] is True


def test_bounded() -> None:
    """At the limit the source that was answered longest ago is forgotten."""
    one = guard(most=2)
    for each in (PEER, OTHER, PEER, PEER):
        one.refuses(answer(), each)
    one.refuses(answer(), SourceAddress(("192.0.2.2", 1)))
    assert list(one._answered) == [("192.0.2.1", 12345), ("192.0.2.2", 1)]
    assert one.refuses(answer(), PEER)


class Sent(StringTransport):
    """A transport that accepts an address."""

    def write(self, data: bytes, addr: Any = None) -> None:
        super().write(data)


def test_protocol() -> None:
    """The protocol ignores and counts such datagrams, and answers others from the same source."""
    counters = ServiceCounters()
    protocol = TimeProtocol(lambda: NOW, counters)
    protocol.transport = Sent()  # type: ignore[assignment]
    for _ in range(5):
        protocol.datagramReceived(answer(), PEER)
    assert (counters.datagrams, counters.refused_loop) == (3, 2)
    protocol.datagramReceived(b"?", PEER)
    assert (counters.datagrams, counters.refused_loop) == (4, 2)
