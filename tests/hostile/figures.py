"""Figures: what an attack measured, what was to be reached, and both as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

HEADER = ("threat", "figure", "measured", "target", "met")
_THOUSAND = 1000


@dataclass(frozen=True)
class Figure:
    """One figure; `most` and `least` are the target, without either it is told and not judged.

    `timed` is whether it says as much of how busy the machine is as of the daemon.
    """

    what: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    timed: bool = False

    @property
    def met(self) -> bool:
        """Whether the target is reached; a figure that is not a number never is."""
        over = self.most is not None and not self.value <= self.most
        return not over and not (self.least is not None and not self.value >= self.least)

    @property
    def measured(self) -> str:
        """The value, for people."""
        return _shown(self.value, self.unit)

    @property
    def target(self) -> str:
        """The same of what was to be reached."""
        if self.most is not None and self.most == self.least:
            return _shown(self.most, self.unit)
        if self.most is not None:
            return f"at most {_shown(self.most, self.unit)}"
        return "" if self.least is None else f"at least {_shown(self.least, self.unit)}"


def yes(what: str, value: bool) -> Figure:
    """One that is to be true."""
    return Figure(what, value, least=True, most=True)


def exactly(what: str, value: float, number: float, unit: str = "") -> Figure:
    """One that is to be just that."""
    return Figure(what, value, unit, number, number)


@dataclass(frozen=True)
class Result:
    """What became of an attack: its figures, or why it could not be carried out, or how it failed."""

    threat: str
    figures: Sequence[Figure] = field(default_factory=tuple)
    not_measured: str = ""
    failure: str = ""
    others: str = ""
    """What the same did to others."""

    @property
    def met(self) -> bool:
        """Whether nothing was missed. What could not be measured was not."""
        return not self.failure and all(each.met for each in self.figures)

    def rows(self) -> Iterable[tuple[str, ...]]:
        """As HEADER says."""
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
    """The table for a terminal."""
    rows = [HEADER, *_rows(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def markdown(results: Iterable[Result]) -> str:
    """The table for docs/attacks.md, with what the same did to others."""
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
    """Whole numbers as they are, others with the three digits that count."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= _THOUSAND else f"{value:.3g}"
