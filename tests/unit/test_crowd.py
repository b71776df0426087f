"""servers/crowd.py, held against what is found by looking at every connection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from echotime.servers.crowd import Crowd


@dataclass(eq=False)
class Connection:
    """One."""

    number: int
    source: str
    last_active: float


Steps = st.lists(st.tuples(st.sampled_from(["add", "discard", "message", "evict"]), st.integers(0, 7)), max_size=80)


@given(Steps)
def test_as_a_look_at_all_of_them(steps: list[tuple[str, int]]) -> None:
    """Whatever comes, speaks and goes: numbers are right, and the longest idle of the source with most is found."""
    crowd = Crowd()
    here: list[Connection] = []
    for now, (what, which) in enumerate(steps):
        if what == "add":
            here.append(Connection(now, f"10.0.0.{which % 4}", now))
            crowd.add(here[-1])
        elif here and what == "message":
            here[which % len(here)].last_active = now
        elif here:
            gone = here[which % len(here)] if what == "discard" else expected(here)
            if what == "evict":
                assert crowd.longest_idle_of_most() is gone
            here.remove(gone)
            crowd.discard(gone)
            crowd.discard(gone)
        assert len(crowd) == len(here)
        numbers = Counter(each.source for each in here)
        assert [crowd.number_of(f"10.0.0.{one}") for one in range(4)] == [numbers[f"10.0.0.{one}"] for one in range(4)]


def expected(here: list[Connection]) -> Connection:
    """By looking at each."""
    numbers = Counter(each.source for each in here)
    most = max(numbers.values())
    return min((each for each in here if numbers[each.source] == most), key=lambda each: each.last_active)


def test_sources_that_left_cost_nothing() -> None:
    """Nothing is kept of a source whose last connection is over."""
    crowd = Crowd()
    for number in range(1000):
        one = Connection(number, f"10.0.{number // 256}.{number % 256}", 0)
        crowd.add(one)
        assert crowd.longest_idle_of_most() is one
        crowd.discard(one)
    assert (crowd._groups, crowd._rows, crowd._by_size[1:]) == ({}, {}, [{}])


def test_the_busy_do_not_give_way_to_the_silent() -> None:
    """However many silent sources came after them: those who came first and are active all the time stay."""
    crowd = Crowd()
    everybody = [Connection(number, f"10.0.{number // 256}.{number % 256}", number) for number in range(2000)]
    for each in everybody:
        crowd.add(each)
    busy = set(everybody[:100])
    for now in range(2000, 3000):
        for each in busy:
            each.last_active = now
        gone = crowd.longest_idle_of_most()
        assert gone not in busy
        crowd.discard(gone)
        crowd.add(Connection(now, f"10.1.{now // 256}.{now % 256}", now))


def test_all_are_busy() -> None:
    """Only so many are looked at for one that gives way, even if none of very many was silent."""
    crowd = Crowd()
    looks = 0
    longest_idle = crowd._longest_idle

    def counted(source: str) -> object:
        nonlocal looks
        looks += 1
        return longest_idle(source)

    crowd._longest_idle = counted  # type: ignore[method-assign,assignment]
    everybody = [Connection(number, f"10.0.{number // 256}.{number % 256}", 0) for number in range(2000)]
    for each in everybody:
        crowd.add(each)
        each.last_active = 1
    crowd.discard(crowd.longest_idle_of_most())
    assert looks == 256


def test_many_evictions_look_at_each_once() -> None:
    """A thousand evictions of a thousand connections take a few looks at each, not a thousand."""
    looks = 0

    class Watched(Connection):
        @property
        def last_active(self) -> float:
            nonlocal looks
            looks += 1
            return float(self.number)

        @last_active.setter
        def last_active(self, value: float) -> None:
            """It is the number."""

    crowd = Crowd()
    for number in range(1000):
        crowd.add(Watched(number, "10.0.0.1", 0))
    for number in range(1000):
        one = crowd.longest_idle_of_most()
        assert one.number == number
        crowd.discard(one)
    assert looks <= 10 * 1000
