"""Align and wrap text for a terminal, where a Chinese character takes two columns."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterator

from echotime.wire.escape import display_width, is_wide

_MIN_WIDTH = 60


def pad(text: str, width: int) -> str:
    """Append spaces up to the width of a column, at least one."""
    return text + " " * max(width - display_width(text), 1)


def wrap(text: str, first_indent: str = "", indent: str = "") -> Iterator[str]:
    """Yield indented lines that fit the terminal, or nothing if the text is empty."""
    width = max(shutil.get_terminal_size().columns, _MIN_WIDTH)
    line = first_indent
    for chunk in _breakable_chunks(text.lstrip()):
        if line.strip() and display_width(line + chunk.rstrip()) > width:
            yield line.rstrip()
            line = indent
        line += chunk
    if text:
        yield line.rstrip()


def _breakable_chunks(text: str) -> Iterator[str]:
    """Split text where a line may end: after a space, and before each wide character except punctuation."""
    for word in re.findall(r"\S*\s*", text):
        start = 0
        for index, character in enumerate(word):
            if is_wide(character) and unicodedata.category(character)[0] != "P":
                yield word[start:index]
                start = index
        yield word[start:]
