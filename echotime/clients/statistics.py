"""Figures of round trips, as ping(8) gives them, and some that it does not. Times are seconds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

_BAR = 50
_STEPS = (1.0, 2.0, 5.0)


class Figures(NamedTuple):
    """Of a number of times: ends, middle, deviation as ping(8) has it, and quantiles; all in milliseconds."""

    min: float
    avg: float
    max: float
    mdev: float
    p50: float
    p99: float


def figures(times: Sequence[float]) -> Figures:
    """The figures of at least one time."""
    milliseconds = sorted(each * 1000 for each in times)
    return Figures(
        milliseconds[0],
        statistics.fmean(milliseconds),
        milliseconds[-1],
        statistics.pstdev(milliseconds),
        _quantile(milliseconds, 0.50),
        _quantile(milliseconds, 0.99),
    )


def _quantile(ordered: Sequence[float], part: float) -> float:
    """The smallest that is not below this part of all (nearest rank)."""
    return ordered[max(math.ceil(part * len(ordered)) - 1, 0)]


def spread(times: Sequence[float]) -> str:
    """The figures in one line."""
    found = figures(times)
    values = "/".join(f"{each:.3f}" for each in found)
    return f"{'/'.join(found._fields)} = {values} ms"


def histogram(times: Sequence[float], lines: int = 12) -> list[str]:
    """A bar for each range of times, of round limits, at most so many bars; empty ranges between are shown."""
    milliseconds = sorted(each * 1000 for each in times)
    step = _round_step((milliseconds[-1] - milliseconds[0]) / lines)
    first = math.floor(milliseconds[0] / step)
    counts = [0] * (math.floor(milliseconds[-1] / step) - first + 1)
    for each in milliseconds:
        counts[math.floor(each / step) - first] += 1
    digits = max(0, -math.floor(math.log10(step)))
    return [
        f"{(first + place) * step:10.{digits}f} ms |{'#' * math.ceil(_BAR * count / max(counts)):<{_BAR}} {count}"
        for place, count in enumerate(counts)
    ]


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10, ... at any scale, from a microsecond on."""
    scale: float = 10.0 ** math.floor(math.log10(max(least, 0.001)))
    return next((step * scale for step in _STEPS if step * scale >= least), 10 * scale)
