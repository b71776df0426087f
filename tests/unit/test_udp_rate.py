"""limits/udp_rate.py: only a source that sends too much is answered less, and memory is bounded."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import pytest
from twisted.internet.task import Clock

from echotime.limits.source import is_loopback
from echotime.limits.udp_rate import RateLimit

NEVER, ALWAYS = 0.99, 0.0


class Batch:
    """A batch with these numbers of datagrams by source address."""

    ordinary_addresses = True

    def __init__(self, count: int, hosts: Mapping[str, int]) -> None:
        self.count = count
        self._hosts = hosts

    def hosts(self) -> Mapping[str, int]:
        return self._hosts

    def lengths(self) -> list[int]:
        return [1] * self.count

    def source_ports(self) -> list[int]:
        return [40_000] * self.count


def limit(rate: int, clock: Clock, *chances: float, most: int = 100) -> RateLimit:
    """Return a limit whose random numbers are `chances`, repeated."""
    chance = cycle(chances or [NEVER])
    return RateLimit(rate, clock.seconds, exempt=is_loopback, uniform=lambda: next(chance), max_sources=most)


def answered(limit: RateLimit, host: str, number: int) -> int:
    """Return the number of datagrams that are answered."""
    return sum(limit.allows(host) for _ in range(number))


def test_bucket() -> None:
    """After a pause a burst of one second's rate is answered, then as many as the time that passes allows."""
    clock = Clock()
    one = limit(10, clock)
    answered(one, "192.0.2.9", 10)  # all together are within the limit, so no source is looked up
    assert answered(one, "192.0.2.1", 30) == 10
    clock.advance(0.5)
    assert answered(one, "192.0.2.1", 30) == 5
    clock.advance(5)
    assert answered(one, "192.0.2.1", 5) == 5


def test_a_steady_flood_gets_its_rate() -> None:
    """A steady flood is answered at the rate of the limit, not less because of what was refused."""
    clock = Clock()
    one = limit(10, clock)
    number = 0
    for _ in range(1000):
        number += one.allows("192.0.2.1")
        clock.advance(0.01)
    assert 100 <= number <= 120


def test_every_other_second() -> None:
    """A source that sends double its limit in one second, and just below it in the next, gains little."""
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
    """A quarter of the excess is answered, at random, so a forger of a client's address cannot silence the client."""
    clock = Clock()
    one = limit(10, clock, *(number / 100 for number in range(100)))
    answered(one, "192.0.2.1", 20)
    assert answered(one, "192.0.2.1", 1000) == 250


def test_others_are_answered() -> None:
    """A slow source is answered during another's flood, and so is the exempt loopback."""
    clock = Clock()
    one = limit(10, clock)
    answered(one, "192.0.2.1", 1000)
    assert answered(one, "192.0.2.2", 10) == 10
    assert answered(one, "2001:db8::1", 5) + answered(one, "2001:db8::2", 10) == 10, "one network of 64 bits"
    assert answered(one, "127.0.0.1", 1000) == 1000


def test_no_limit() -> None:
    """A rate of 0 means no limit."""
    assert answered(limit(0, Clock()), "192.0.2.1", 1000) == 1000


@pytest.mark.parametrize("hosts", [{"192.0.2.1": 5, "192.0.2.2": 3}, {"::ffff:192.0.2.1": 8}])
def test_together(hosts: Mapping[str, int]) -> None:
    """A batch is counted as a whole, or not at all."""
    clock = Clock()
    one = limit(10, clock)
    number = sum(hosts.values())
    answered(one, "192.0.2.9", 10)
    assert one.allow_batch(Batch(number, hosts))
    assert one.allow_batch(Batch(2, {"192.0.2.1": 2}))
    assert not one.allow_batch(Batch(8, {"192.0.2.1": 8, "192.0.2.3": 1}))
    assert one.allow_batch(Batch(10, {"192.0.2.3": 10})), "a refused batch takes no tokens"
    assert one.allow_batch(Batch(1000, {"127.0.0.1": 1000}))


def test_hosts_of_one_source() -> None:
    """All hosts of an IPv6 network in a batch count against the same source."""
    one = limit(10, Clock())
    answered(one, "192.0.2.9", 10)
    assert not one.allow_batch(Batch(12, {"2001:db8::1": 6, "2001:db8::2": 6}))
    assert one.allow_batch(Batch(10, {"2001:db8::1": 6, "2001:db8::2": 4}))
    assert not one.allow_batch(Batch(1, {"2001:db8::3": 1}))


def test_no_source_is_looked_up_while_it_is_quiet() -> None:
    """While all sources together are within the limit of one, the source addresses are not read."""

    class Unread(Batch):
        def hosts(self) -> Mapping[str, int]:
            raise AssertionError("the source addresses were read")

    clock = Clock()
    one = limit(10, clock)
    for _ in range(5):
        assert one.allow_batch(Unread(10, {}))
        clock.advance(1)


def test_bounded() -> None:
    """The number of remembered sources is bounded, and a flooding source is not forgotten because of others."""
    clock = Clock()
    one = limit(10, clock, most=100)
    answered(one, "192.0.2.1", 30)
    for number in range(1000):
        one.allows(f"10.0.{number // 256}.{number % 256}")
        assert not one.allows("192.0.2.1")
    assert len(one._buckets) <= 100
