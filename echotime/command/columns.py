"""Text in columns of a terminal, where a Chinese character takes two."""

from __future__ import annotations

import re
import shutil
import unicodedata
from collections.abc import Iterator

from echotime.wire.printable import columns, is_wide

_NARROWEST = 60


def padded(text: str, width: int) -> str:
    """With as many spaces as it takes to fill the column, and one at least."""
    return text + " " * max(width - columns(text), 1)


def wrapped(text: str, first: str = "", rest: str = "") -> Iterator[str]:
    """Lines that fit the terminal, the first and the others with these beginnings; nothing where there is no text."""
    most = max(shutil.get_terminal_size().columns, _NARROWEST)
    line = first
    for word in _words(text.lstrip()):
        if line.strip() and columns(line + word.rstrip()) > most:
            yield line.rstrip()
            line = rest
        line += word
    if text:
        yield line.rstrip()


def _words(text: str) -> Iterator[str]:
    """Where a line may end: after a space, and before each wide character that is no punctuation."""
    for word in re.findall(r"\S*\s*", text):
        start = 0
        for place, character in enumerate(word):
            if is_wide(character) and unicodedata.category(character)[0] != "P":
                yield word[start:place]
                start = place
        yield word[start:]
