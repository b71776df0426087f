"""Find the known name for which a misspelled one was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_NAME_LENGTH = 100
"""Compared characters of a name. All known names are shorter by far, and the comparison takes quadratic time."""
_MIN_SIMILARITY = 0.75
"""Below it the names are often of different things: SO_FOO and SO_COOKIE have 0.67."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar, None if none is similar enough.

    Exchanged letters are similar in short names, too, as in `tpc` for `tcp`.
    """
    name = name[:_MAX_NAME_LENGTH]
    names = list(known)
    exchanged = [each for each in names if sorted(each) == sorted(name)]
    return next(iter(exchanged or difflib.get_close_matches(name, names, n=1, cutoff=_MIN_SIMILARITY)), None)
