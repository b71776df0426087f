"""Hold figures of attacks and their targets, and format them as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HEADER = ("threat", "figure", "measured", "target", "met")
_THOUSAND = 1000


@dataclass(frozen=True)
class Figure:
    """Hold one figure with its target, `most` and `least`; without both it is shown and not judged.

    `timed` is true if the load of the machine affects the figure as much as the daemon does.
    """

    what: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    timed: bool = False

    @property
    def met(self) -> bool:
        """Return True if the target is met; NaN never meets one."""
        over = self.most is not None and not self.value <= self.most
        return not over and not (self.least is not None and not self.value >= self.least)

    @property
    def measured(self) -> str:
        """Return the measured value as text."""
        return _shown(self.value, self.unit)

    @property
    def target(self) -> str:
        """Return the target as text."""
        if self.most is not None and self.most == self.least:
            return _shown(self.most, self.unit)
        if self.most is not None:
            return f"at most {_shown(self.most, self.unit)}"
        return "" if self.least is None else f"at least {_shown(self.least, self.unit)}"


def yes(what: str, value: bool) -> Figure:
    """Return a figure that has to be true."""
    return Figure(what, value, least=True, most=True)


def exactly(what: str, value: float, number: float, unit: str = "") -> Figure:
    """Return a figure that has to be equal to `number`."""
    return Figure(what, value, unit, number, number)


@dataclass(frozen=True)
class Result:
    """Hold the result of an attack: figures, and why it could not run or how it failed."""

    threat: str
    figures: Sequence[Figure] = field(default_factory=tuple)
    not_measured: str = ""
    failure: str = ""
    others: str = ""
    """How other servers did."""

    @property
    def met(self) -> bool:
        """Return True unless a target was missed or the attack failed; figures not measured are no failure."""
        return not self.failure and all(each.met for each in self.figures)

    def rows(self) -> Iterable[tuple[str, ...]]:
        """Yield the rows of the table, with the columns of HEADER."""
        threat = self.threat
        for each in self.figures:
            judged = "yes" if each.met else "NO"
            yield threat, each.what, each.measured, each.target, judged if each.target else ""
            threat = ""
        if self.not_measured:
            yield threat, f"not measured: {self.not_measured}", "", "", ""
        if self.failure:
            yield threat, f"failed: {self.failure}", "", "", "NO"


def plain(results: Iterable[Result]) -> str:
    """Format the table for a terminal."""
    rows = [HEADER, *_rows(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def markdown(results: Iterable[Result]) -> str:
    """Format the table for docs/attacks.md, with a column for other servers."""
    header = (*HEADER, "others")
    rows = [header, ("---",) * len(header)]
    for each in results:
        others = each.others
        for row in each.rows():
            rows.append((*row, others))
            others = ""
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _rows(results: Iterable[Result]) -> Iterable[tuple[str, ...]]:
    return (row for each in results for row in each.rows())


def _shown(value: float, unit: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not math.isfinite(value):
        return "never" if math.isinf(value) else "unknown"
    return f"{_digits(value)} {unit}".rstrip()


def _digits(value: float) -> str:
    """Format whole numbers in full, others with three significant digits."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= _THOUSAND else f"{value:.3g}"
