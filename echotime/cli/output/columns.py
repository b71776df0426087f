"""Text in columns of a terminal, where a Chinese character takes two."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterator

from echotime.wire.escape import display_width, is_wide

_MIN_WIDTH = 60


def pad(text: str, width: int) -> str:
    """With as many spaces as it takes to fill the column, and one at least."""
    return text + " " * max(width - display_width(text), 1)


def wrap(text: str, first_indent: str = "", indent: str = "") -> Iterator[str]:
    """Lines that fit the terminal, the first and the others with these beginnings; nothing where there is no text."""
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
    """Where a line may end: after a space, and before each wide character that is no punctuation."""
    for word in re.findall(r"\S*\s*", text):
        start = 0
        for index, character in enumerate(word):
            if is_wide(character) and unicodedata.category(character)[0] != "P":
                yield word[start:index]
                start = index
        yield word[start:]
