"""Align and wrap text for a terminal, where a Chinese character takes two columns.

Prose is always wrapped. Tables and other lines are cut up for a terminal only: scripts read them from pipes.
"""

from __future__ import annotations

import itertools
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TextIO

from echotime.wire.escape import display_width, is_wide

_MIN_WIDTH = 60
_MIN_LAST_COLUMN = 30
"""Columns that the last cell of a row needs beside the others. With fewer it goes below them."""
_LINE_INDENT = " " * 2
_ROW_INDENT = " " * 4
"""Before the continuation of a row."""
_OPENING = frozenset({"Ps", "Pi"})
"""Unicode categories of opening brackets and quotation marks."""
_QUOTES = frozenset("'\"`")
"""Quotation marks that open and close."""


class Heading(str):
    """Mark a line that a terminal shows in bold."""

    __slots__ = ()


def text_width() -> int:
    """Return the columns that prose may take: those of the terminal, or 80 in a pipe."""
    return max(shutil.get_terminal_size().columns, _MIN_WIDTH)


def help_width() -> int:
    """Return the columns that argparse takes for help."""
    return shutil.get_terminal_size().columns - 2


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Return the columns of a terminal, or None if the stream, by default standard output, is something else."""
    return text_width() if (stream or sys.stdout).isatty() else None


def pad(text: str, width: int) -> str:
    """Append spaces up to the width of a column, at least one."""
    return text + " " * max(width - display_width(text), 1)


def wrap(text: str, first_indent: str = "", indent: str = "", width: int | None = None) -> Iterator[str]:
    """Yield indented lines of at most `width` columns, by default those of prose, or nothing if the text is empty."""
    width = width or text_width()
    line = first_indent
    for chunk in _breakable_chunks(text.lstrip()):
        if line.strip() and display_width(line + chunk.rstrip()) > width:
            yield line.rstrip()
            line = indent
        rest = chunk
        while display_width(line + rest.rstrip()) > width > display_width(line) + 1:
            fitting = _fitting_length(rest, width - display_width(line))
            yield line + rest[:fitting]
            line, rest = indent, rest[fitting:]
        line += rest
    if text:
        yield line.rstrip()


def _fitting_length(text: str, width: int) -> int:
    """Return how many characters fit so many columns."""
    length = 0
    while length < len(text) and display_width(text[: length + 1]) <= width:
        length += 1
    return length


def fit(text: str, first_indent: str = "", indent: str = _LINE_INDENT, stream: TextIO | None = None) -> Iterator[str]:
    """Yield the text in lines that fit the terminal, or in one line if the stream is something else."""
    width = terminal_width(stream)
    if width is None or not text:
        yield f"{first_indent}{text}".rstrip()
    else:
        yield from wrap(text, first_indent, indent, width)


def _breakable_chunks(text: str) -> Iterator[str]:
    """Split text where a line may end: after a space, and beside each wide character.

    A line does not begin with punctuation that closes or separates, nor end with an opening bracket or quotation mark.
    """
    for word in re.findall(r"\S*\s*", text):
        start = 0
        for index, (left, right) in enumerate(itertools.pairwise(word), 1):
            if (is_wide(left) or is_wide(right)) and _may_end_line(left) and _may_begin_line(right):
                yield word[start:index]
                start = index
        yield word[start:]


def _may_begin_line(character: str) -> bool:
    category = unicodedata.category(character)
    return category in _OPENING or category[0] not in "PZ"


def _may_end_line(character: str) -> bool:
    return unicodedata.category(character) not in _OPENING and character not in _QUOTES


class Table:
    """Lay out rows in columns, on as many lines a row as the terminal requires, the same lines for all rows.

    `widths` are those of the columns, with the space after each. `width` is that of the terminal, None for one line a
    row. The last cell is wrapped.
    """

    def __init__(self, widths: Sequence[int], width: int | None) -> None:
        self._widths = widths
        self._width = width
        self._first_columns = [0]
        """For each line of a row, its first column."""
        end = 0
        for number, each in enumerate(widths):
            needed = min(each, _MIN_LAST_COLUMN) if number == len(widths) - 1 else each - 1
            if width is not None and end and end + needed > width:
                self._first_columns.append(number)
                end = len(_ROW_INDENT)
            end += each

    def row(self, cells: Sequence[str]) -> Iterator[str]:
        """Yield the lines of a row."""
        ends = [*self._first_columns[1:], len(cells)]
        for first, end in zip(self._first_columns, ends, strict=True):
            indent = _ROW_INDENT if first else ""
            start = indent + "".join(map(pad, cells[first : end - 1], self._widths[first : end - 1]))
            line = start + cells[end - 1]
            if first and not line.strip():
                continue
            if self._width is None or display_width(line) <= self._width:
                yield line.rstrip()
            elif display_width(start) + _MIN_LAST_COLUMN <= self._width:
                yield from wrap(cells[end - 1], start, " " * display_width(start), self._width)
            else:
                yield from wrap(line, indent, _ROW_INDENT, self._width)

    def heading(self, titles: Sequence[str]) -> Iterator[str]:
        """Yield the lines of the heading."""
        return map(Heading, self.row(titles))
