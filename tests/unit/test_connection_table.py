"""Test limits/connection_table.py against a scan of all connections."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echotime.limits.connection_table import SAMPLE, ConnectionTable


@dataclass(eq=False)
class Connection:
    """Stand for a connection of a source."""

    number: int
    source: str
    last_active: float


Steps = st.lists(st.tuples(st.sampled_from(["add", "discard", "message", "evict"]), st.integers(0, 7)), max_size=80)


@given(Steps, st.randoms(use_true_random=False))
def test_compared_with_all_connections(steps: list[tuple[str, int]], random: Random) -> None:
    """Counts and evictions agree with a scan of all connections, after any steps."""
    table = ConnectionTable(random)
    here: list[Connection] = []
    for now, (what, which) in enumerate(steps):
        if what == "add":
            here.append(Connection(now, f"10.0.0.{which % 4}", now))
            table.add(here[-1])
        elif here and what == "message":
            here[which % len(here)].last_active = now
        elif here:
            gone = here[which % len(here)]
            if what == "evict":
                gone = table.eviction_candidate()  # type: ignore[assignment]  # it holds what was added
                assert gone in expected(here)
            here.remove(gone)
            table.discard(gone)
            table.discard(gone)
        assert len(table) == len(here)
        numbers = Counter(each.source for each in here)
        assert [table.number_of(f"10.0.0.{one}") for one in range(4)] == [numbers[f"10.0.0.{one}"] for one in range(4)]


def expected(here: list[Connection]) -> list[Connection]:
    """Return the connections of the largest sources, without the 15 that were active last."""
    numbers = Counter(each.source for each in here)
    most = max(numbers.values())
    by_idle = sorted((each for each in here if numbers[each.source] == most), key=lambda each: each.last_active)
    return by_idle[: max(1, len(by_idle) - SAMPLE + 1)]


def test_sources_that_left_cost_nothing() -> None:
    """A source whose last connection ended leaves nothing in the table."""
    table = ConnectionTable()
    for number in range(1000):
        one = Connection(number, f"10.0.{number // 256}.{number % 256}", 0)
        table.add(one)
        assert table.eviction_candidate() is one
        table.discard(one)
    assert (table._groups, table._by_size) == ({}, {})


def test_the_busy_are_not_evicted_before_the_silent() -> None:
    """The 100 oldest connections stay while they are active, however many idle ones follow."""
    table = ConnectionTable(Random(1))
    connections = [Connection(number, f"10.0.{number // 256}.{number % 256}", number) for number in range(2000)]
    for each in connections:
        table.add(each)
    busy = set(connections[:100])
    for now in range(2000, 3000):
        for each in busy:
            each.last_active = now
        gone = table.eviction_candidate()
        assert gone not in busy
        table.discard(gone)
        table.add(Connection(now, f"10.1.{now // 256}.{now % 256}", now))


@pytest.mark.parametrize("sources", [1, 4, 2000])
def test_a_small_source_is_never_evicted(sources: int) -> None:
    """The longest-idle connection stays while larger sources exist, which are busy."""
    table = ConnectionTable(Random(2))
    small = Connection(0, "10.9.0.1", 0)
    table.add(small)
    for number in range(1, 2 * 2000 + 1):
        table.add(Connection(number, f"10.0.0.{number % sources}", number))
    for _ in range(2000):
        gone = table.eviction_candidate()
        assert gone is not small
        table.discard(gone)


@pytest.mark.parametrize("sources", [1, 20, 2000])
def test_evicted_are_among_the_longest_idle(sources: int) -> None:
    """The promised probabilities hold: 1 in 65,536 from the active half, 1 % beyond a quarter."""
    table = ConnectionTable(Random(3))
    beyond_quarter = 0
    for number in range(2000):
        table.add(Connection(number, f"10.0.0.{number % sources}", number))
    for came in range(2000, 4000):
        # the next connection has the source of the evicted one, so that sources stay equally large
        gone = table.eviction_candidate()
        ages = [connection.number for group in table._groups.values() for connection in group.items]
        rank = sum(number < gone.number for number in ages)
        assert rank < len(ages) / 2
        beyond_quarter += rank >= len(ages) / 4
        table.discard(gone)
        table.add(Connection(came, gone.source, came))
    assert beyond_quarter < 2 * 2000 / 100


@pytest.mark.parametrize("sources", [1, 20, 2000])
def test_an_eviction_looks_at_few(sources: int) -> None:
    """An eviction reads the last activity of 16 connections, whether any was idle or not."""
    looks = 0

    class Watched(Connection):
        @property
        def last_active(self) -> float:
            nonlocal looks
            looks += 1
            return 0.0

        @last_active.setter
        def last_active(self, value: float) -> None:
            """Do nothing: the activity is the same for all."""

    table = ConnectionTable()
    for number in range(2000):
        table.add(Watched(number, f"10.0.0.{number % sources}", 0))
    table.eviction_candidate()
    assert looks == SAMPLE
