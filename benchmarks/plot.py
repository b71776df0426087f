"""Draw the results: a panel for each workload, a bar for each server, echotime in color."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bars import OURS
from benchmarks.results import Outcome, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_OURS, _THEIRS, _INK = "#c2410c", "#b8bec7", "#24292f"
_COLUMNS = 4


def draw(results: Results, path: Path) -> None:
    """Write an SVG. Raises ImportError without matplotlib."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # text stays text, and equal results make equal files
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "echotime", "font.size": 9, "text.color": _INK}):
        rows = math.ceil(len(results.outcomes) / _COLUMNS)
        figure = Figure(figsize=(3.4 * _COLUMNS, 0.6 + 2.5 * rows), layout="constrained")
        panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
        for panel in panels[len(results.outcomes) :]:
            panel.set_axis_off()
        for panel, outcome in zip(panels, results.outcomes, strict=False):
            _panel(panel, results, outcome)
        figure.suptitle(
            f"Work per second of server CPU time (more is better), and memory of idle connections (less is better); "
            f"medians of {results.rounds} rounds"
        )
        figure.savefig(path, format="svg", metadata={"Date": None})


def _panel(panel: Axes, results: Results, outcome: Outcome) -> None:
    names, values = [], []
    figure, scale = (
        ("rss_per_connection", 1024.0) if outcome.workload.idles else ("per_cpu_second", outcome.workload.scale)
    )
    for server in results.servers:
        value = outcome.median(server.name, figure)
        if value is not None:
            names.append(server.name + ("*" if server.note else ""))
            values.append(value / scale)
    bars = panel.barh(names, values, color=[_OURS if name == OURS else _THEIRS for name in names], height=0.75)
    panel.bar_label(bars, fmt="%.1f", padding=3)
    panel.set_title(f"{outcome.workload.name}, {outcome.workload.unit}", loc="left", fontweight="bold")
    panel.invert_yaxis()
    panel.margins(x=0.2)
    panel.set_xticks([])
    panel.tick_params(length=0)
    panel.spines[["top", "right", "bottom"]].set_visible(False)
