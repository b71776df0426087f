"""Parsers of the values that parameters take. Each raises ValueError with a message that names what is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable

from echotime.wire.parsers import byte_count, non_negative_int, non_negative_seconds

MAX_SECONDS = 3600.0
"""Longest delay. A test that waits longer has failed for other reasons."""
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{8,32}")
_PROBABILITY = re.compile(r"0*[01]?(?:\.[0-9]{1,9})?")


def probability(text: str) -> float:
    """Parse a probability from 0 to 1."""
    if not text or text == "." or not _PROBABILITY.fullmatch(text) or float(text) > 1:
        raise ValueError("must be a probability from 0 to 1, as in 0.5")
    return float(text)


def seconds(lowest: float = 0.0) -> Callable[[str], float]:
    """Return a parser of a time from `lowest` seconds to MAX_SECONDS."""

    def parse(text: str) -> float:
        found = non_negative_seconds(text)
        if not lowest <= found <= MAX_SECONDS:
            raise ValueError(f"must be a time from {lowest:g} to {MAX_SECONDS:g} s")
        return found

    return parse


def byte_size(lowest: int = 0) -> Callable[[str], int]:
    """Return a parser of a number of bytes, at least `lowest`."""

    def parse(text: str) -> int:
        found = byte_count(text)
        if found < lowest:
            raise ValueError(f"must be at least {lowest} byte{'s' * (lowest != 1)}")
        return found

    return parse


def between(lowest: int, highest: int) -> Callable[[str], int]:
    """Return a parser of a whole number from `lowest` to `highest`."""

    def parse(text: str) -> int:
        found = non_negative_int(text)
        if not lowest <= found <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return found

    return parse


def hexadecimal(text: str) -> str:
    """Parse the id of a connection: 8 to 32 hexadecimal digits, in lower case afterwards."""
    if not _HEXADECIMAL.fullmatch(text):
        raise ValueError("must be 8 to 32 hexadecimal digits")
    return text.lower()
