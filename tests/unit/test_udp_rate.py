"""Test limits/udp_rate.py: a flood is answered less, other sources are not, and memory is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import pytest
from twisted.internet.task import Clock

from echotime.limits.source import is_loopback
from echotime.limits.udp_rate import RateLimit

NEVER, ALWAYS = 0.99, 0.0


def limit(rate: int, clock: Clock, *chances: float, most: int = 100) -> RateLimit:
    """Make a limit that draws these random numbers over and over."""
    chance = cycle(chances or [NEVER])
    return RateLimit(rate, clock.seconds, exempt=is_loopback, uniform=lambda: next(chance), max_sources=most)


def answered(limit: RateLimit, host: str, number: int) -> int:
    """Return how many of so many datagrams are answered."""
    return sum(limit.allows(host) for _ in range(number))


def test_bucket() -> None:
    """After a pause a second's worth is answered at once, then as many as the passing time allows."""
    clock = Clock()
    one = limit(10, clock)
    answered(one, "192.0.2.9", 10)  # the total is within the limit, so no source is checked
    assert answered(one, "192.0.2.1", 30) == 10
    clock.advance(0.5)
    assert answered(one, "192.0.2.1", 30) == 5
    clock.advance(5)
    assert answered(one, "192.0.2.1", 5) == 5


def test_a_steady_flood_gets_its_rate() -> None:
    """A steady flood is answered at the rate of the limit, not less for what was refused."""
    clock = Clock()
    one = limit(10, clock)
    number = 0
    for _ in range(1000):
        number += one.allows("192.0.2.1")
        clock.advance(0.01)
    assert 100 <= number <= 120


def test_every_other_second() -> None:
    """A source that alternates between twice the rate and just below it gains little."""
    clock = Clock()
    one = limit(100, clock)
    number = 0
    for second in range(100):
        pieces = 200 if second % 2 == 0 else 99
        for _ in range(pieces):
            number += one.allows("192.0.2.1")
            clock.advance(1 / pieces)
    assert number <= 126 * 100


def test_leak() -> None:
    """A quarter of the excess is answered, at random, so that forged datagrams cannot silence a client."""
    clock = Clock()
    one = limit(10, clock, *(number / 100 for number in range(100)))
    answered(one, "192.0.2.1", 20)
    assert answered(one, "192.0.2.1", 1000) == 250


def test_others_are_answered() -> None:
    """A source that sends little is answered during a flood by another, and so is loopback."""
    clock = Clock()
    one = limit(10, clock)
    answered(one, "192.0.2.1", 1000)
    assert answered(one, "192.0.2.2", 10) == 10
    assert answered(one, "2001:db8::1", 5) + answered(one, "2001:db8::2", 10) == 10, "both are one 64-bit network"
    assert answered(one, "127.0.0.1", 1000) == 1000


def test_no_limit() -> None:
    """A rate of 0 means no limit."""
    assert answered(limit(0, Clock()), "192.0.2.1", 1000) == 1000


@pytest.mark.parametrize("hosts", [{"192.0.2.1": 5, "192.0.2.2": 3}, {"::ffff:192.0.2.1": 8}])
def test_together(hosts: Mapping[str, int]) -> None:
    """A batch is accepted as a whole, or none of it and each datagram has to be checked."""
    clock = Clock()
    one = limit(10, clock)
    number = sum(hosts.values())
    answered(one, "192.0.2.9", 10)
    assert one.allow_batch(number, lambda: hosts)
    assert one.allow_batch(2, lambda: {"192.0.2.1": 2})
    assert not one.allow_batch(8, lambda: {"192.0.2.1": 8, "192.0.2.3": 1})
    assert one.allow_batch(10, lambda: {"192.0.2.3": 10}), "a refused batch used up tokens"
    assert one.allow_batch(1000, lambda: {"127.0.0.1": 1000})


def test_nobody_is_asked_for_where_it_is_quiet() -> None:
    """While the total is below the limit, the sources are not looked up."""

    def sources() -> Mapping[str, int]:
        raise AssertionError("the sources are not needed")

    clock = Clock()
    one = limit(10, clock)
    for _ in range(5):
        assert one.allow_batch(10, sources)
        clock.advance(1)


def test_bounded() -> None:
    """The number of remembered sources is limited, and a flooding one is not forgotten for many others."""
    clock = Clock()
    one = limit(10, clock, most=100)
    answered(one, "192.0.2.1", 30)
    for number in range(1000):
        one.allows(f"10.0.{number // 256}.{number % 256}")
        assert not one.allows("192.0.2.1")
    assert len(one._buckets) <= 100
