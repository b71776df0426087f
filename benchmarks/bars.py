"""Hold echotime against its bars, which are reported and never asserted: noise must not fail a run."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import Results

OURS = "echotime"


@dataclass(frozen=True)
class Bar:
    """Demand `factor` times the work per CPU second of the best of `others`."""

    workload: str
    factor: float
    others: tuple[str, ...]
    ours: str = OURS


BARS = (
    Bar("echo-1", 0.95, ("uvloop",)),
    Bar("echo-50", 1.0, ("uvloop", "asyncio", "go")),
    Bar("echo-500", 1.0, ("uvloop", "asyncio", "go")),
    Bar("stream-64k", 2.5, ("uvloop",)),
    Bar("stream-64k", 0.8, ("c",)),
    Bar("sessions", 0.95, ("uvloop",)),
    Bar("udp-1", 1.0, ("uvloop", "asyncio", "go")),
    Bar("udp-32", 1.4, ("go",)),
    Bar("udp-32", 0.92, ("c",)),
    *(Bar(each, 0.95, ("echotime-x1",), "echotime-x2") for each in ("echo-50", "sessions", "udp-32")),
)
MOST_MEMORY = 2.0
"""Largest memory per idle connection, in KB."""


@dataclass(frozen=True)
class Judged:
    """Hold a bar and the result that was measured.

    found: the median of the rounds

    margin: the distance from the bar as a part of it; negative if missed

    least, most: the range of the rounds
    """

    workload: str
    demand: str
    found: float
    margin: float
    least: float
    most: float

    @property
    def reached(self) -> bool:
        """Return True if the bar is reached."""
        return self.margin >= 0


def judged(results: Results) -> Iterator[Judged]:
    """Judge each bar for which echotime and another server were measured, against the best of the others."""
    for bar in BARS:
        found = {other: ratios for other in bar.others if (ratios := results.ratios(bar.workload, bar.ours, other))}
        if found:
            ratios = min(found.values(), key=statistics.median)
            ratio = statistics.median(ratios)
            whose = ("the best of " if len(found) > 1 else "") + ", ".join(found)
            whom = "" if bar.ours == OURS else f"{bar.ours}: "
            demand = f"{whom}at least {bar.factor:.2f} of {whose}"
            yield Judged(bar.workload, demand, ratio, ratio / bar.factor - 1, min(ratios), max(ratios))
    if memory := [each / 1024 for each in results.found("idle-10000", OURS, "rss_per_connection")]:
        found_memory = statistics.median(memory)
        demand = f"at most {MOST_MEMORY:.2f} KB a connection"
        yield Judged("idle-10000", demand, found_memory, 1 - found_memory / MOST_MEMORY, min(memory), max(memory))
