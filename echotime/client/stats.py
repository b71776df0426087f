"""Compute statistics of round trips, as ping(8) does, and quantiles and a histogram. Times are in seconds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

_BAR_WIDTH = 50
_LABEL_WIDTH = 15
_STEPS = (1.0, 2.0, 5.0)


class RoundTripStats(NamedTuple):
    """Hold the statistics in milliseconds. `mdev` is the standard deviation, as in ping(8)."""

    min: float
    avg: float
    max: float
    mdev: float
    p50: float
    p99: float


def compute_stats(times: Sequence[float]) -> RoundTripStats:
    """Return the statistics of at least one time."""
    milliseconds = sorted(each * 1000 for each in times)
    return RoundTripStats(
        milliseconds[0],
        statistics.fmean(milliseconds),
        milliseconds[-1],
        statistics.pstdev(milliseconds),
        _quantile(milliseconds, 0.50),
        _quantile(milliseconds, 0.99),
    )


def _quantile(ordered: Sequence[float], fraction: float) -> float:
    """Return a quantile by the nearest-rank method."""
    return ordered[max(math.ceil(fraction * len(ordered)) - 1, 0)]


def format_stats(times: Sequence[float]) -> str:
    """Return the statistics as one line."""
    stats = compute_stats(times)
    values = "/".join(f"{each:.3f}" for each in stats)
    return f"{'/'.join(stats._fields)} = {values} ms"


def histogram(times: Sequence[float], max_bars: int = 12, width: int | None = None) -> list[str]:
    """Return a bar for each range of times. The ranges have round limits, and are about `max_bars` or fewer.

    `width` is that of the terminal, if there is one.
    """
    milliseconds = sorted(each * 1000 for each in times)
    step = _round_step((milliseconds[-1] - milliseconds[0]) / max_bars)
    first_step = math.floor(milliseconds[0] / step)
    counts = [0] * (math.floor(milliseconds[-1] / step) - first_step + 1)
    for each in milliseconds:
        counts[math.floor(each / step) - first_step] += 1
    digits = max(0, -math.floor(math.log10(step)))
    # the count follows after a space
    room = _BAR_WIDTH if width is None else width - _LABEL_WIDTH - 1 - len(str(max(counts)))
    bar_width = min(_BAR_WIDTH, room)
    bars = ["#" * math.ceil(bar_width * count / max(counts)) for count in counts]
    return [
        f"{(first_step + index) * step:10.{digits}f} ms |{bar:<{bar_width}} {count}"
        for index, (bar, count) in enumerate(zip(bars, counts, strict=True))
    ]


def _round_step(minimum: float) -> float:
    """Return the next step of the series 1, 2, 5, 10, ... in milliseconds, at least 0.001."""
    scale: float = 10.0 ** math.floor(math.log10(max(minimum, 0.001)))
    return next((step * scale for step in _STEPS if step * scale >= minimum), 10 * scale)
