"""Parsers of option values that the daemon and the tools share: counts, times, epochs and character encodings.

Each raises ValueError with a message that names what is accepted.
"""

from __future__ import annotations

import codecs
import re
from gettext import gettext as _

from echotime.wire.timestamp import Epoch

EPOCHS = {"unix": Epoch.UNIX, "1900": Epoch.RFC868}
"""Epochs by the name that options give them."""
_MAX_INT = 2**31 - 1
_INTEGER = re.compile(r"(-?)([0-9]+)([kKMG]?)")
_DURATION = re.compile(r"(-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(us|ms|s|m|min|h|)")
_EXPONENTS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3}
_UNITS = {"us": 1e-6, "ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class TooLargeError(ValueError):
    """Report a number that is well-formed and too large."""


def non_negative_int(text: str) -> int:
    """Parse a whole number from 0 to 2**31-1, as in ``1000`` or ``10k``, which is 10000."""
    return _parse_int(text, 0)


def positive_int(text: str) -> int:
    """Parse a whole number from 1 to 2**31-1, in the forms of `non_negative_int`."""
    return _parse_int(text, 1)


def _parse_int(text: str, low: int) -> int:
    number = _scaled(text, 1000)
    if number is None:
        raise ValueError(_("must be a whole number, at least {low}").format(low=low))
    _check_range(number, low)
    return number


def byte_count(text: str) -> int:
    """Parse a number of bytes from 0 to 2**31-1, as in ``1000`` or ``10k``, which is 10240."""
    number = _scaled(text, 1024)
    if number is None:
        raise ValueError(_("must be a number of bytes, as in 1400 or 4k"))
    _check_range(number, 0)
    return number


def _scaled(text: str, factor: int) -> int | None:
    """Return the number in a text with or without a unit, or None if there is none."""
    found = _INTEGER.fullmatch(text)
    if found is None:
        return None
    # eleven digits are beyond every limit, and int() refuses a text of thousands
    return int(found[1] + (found[2].lstrip("0")[:11] or "0")) * int(factor ** _EXPONENTS[found[3]])


def _check_range(number: float, low: int) -> None:
    if number < low:
        raise ValueError(_("must be at least {low}").format(low=low))
    if number > _MAX_INT:
        raise TooLargeError(_("must be at most {high}").format(high=_MAX_INT))


def non_negative_seconds(text: str) -> float:
    """Parse a time of 0 seconds or more: ``5``, ``0.5``, ``500ms``, ``10s``, ``2m`` or ``1h``."""
    seconds = _parse_seconds(text)
    _check_range(seconds, 0)
    return seconds


def _parse_seconds(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(_("must be a time in seconds, or with a unit, as in 5, 0.5, 500ms, 10s, 2m or 1h"))
    return float(found[1]) * _UNITS[found[2]]


def positive_seconds(text: str) -> float:
    """Parse a time of more than 0 seconds, in the forms of `non_negative_seconds`."""
    seconds = _parse_seconds(text)
    if seconds <= 0:
        raise ValueError(_("must be more than 0"))
    _check_range(seconds, 0)
    return seconds


def epoch(text: str) -> Epoch:
    """Parse ``unix`` or ``1900``, in any case."""
    if text.lower() not in EPOCHS:
        raise ValueError(f"{text!r} is not an epoch; expected {' or '.join(EPOCHS)}")
    return EPOCHS[text.lower()]


def encoding(text: str) -> str:
    """Return the canonical name of a character encoding."""
    try:
        # some codecs encode no text, and some cannot work with an error handler
        "a".encode(text, "surrogateescape")
        codecs.getincrementaldecoder(text)("backslashreplace").decode(b"a\xff", True)
        return codecs.lookup(text).name
    except Exception:
        raise ValueError(
            _("{text!r} is not an encoding; expected one such as utf-8 or gb18030").format(text=text)
        ) from None
