"""The bars that echotime is held against. They are told, never asserted: a machine's noise must not fail a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.results import Results

OURS = "echotime"


@dataclass(frozen=True)
class Bar:
    """At least `factor` times the work per CPU second of the best of `others`."""

    workload: str
    factor: float
    others: tuple[str, ...]


BARS = (
    Bar("echo-1", 1.0, ("asyncio",)),
    Bar("echo-50", 1.0, ("uvloop", "asyncio", "go")),
    Bar("echo-500", 1.0, ("uvloop", "asyncio", "go")),
    Bar("sessions", 0.85, ("uvloop",)),
    Bar("sessions", 1.5, ("asyncio",)),
    Bar("udp-32", 1.4, ("go",)),
    Bar("udp-32", 2.5, ("uvloop",)),
    Bar("udp-32", 0.9, ("c",)),
)
MOST_MEMORY = 4.0
"""KB that an idle connection may take."""


@dataclass(frozen=True)
class Judged:
    """A bar and what there is; `margin` is how far above it, as a part of the bar, and below it when negative."""

    workload: str
    asked: str
    found: float
    margin: float

    @property
    def reached(self) -> bool:
        """Whether it is reached."""
        return self.margin >= 0


def judged(results: Results) -> Iterator[Judged]:
    """Every bar, against those of its others that were measured; none where we were not."""
    for bar in BARS:
        ours = results.median(bar.workload, OURS, "per_cpu_second")
        others = {other: results.median(bar.workload, other, "per_cpu_second") for other in bar.others}
        theirs = {other: work for other, work in others.items() if work}
        if ours and theirs:
            ratio = ours / max(theirs.values())
            whose = ("the best of " if len(theirs) > 1 else "") + ", ".join(theirs)
            yield Judged(bar.workload, f"at least {bar.factor:.2f} of {whose}", ratio, ratio / bar.factor - 1)
    memory = results.median("idle-10000", OURS, "rss_per_connection")
    if memory:
        kilobytes = memory / 1024
        yield Judged("idle-10000", f"at most {MOST_MEMORY:.2f} KB a connection", kilobytes, 1 - kilobytes / MOST_MEMORY)
