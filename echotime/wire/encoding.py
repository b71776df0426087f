"""Names of character encodings."""

from __future__ import annotations

import codecs
from gettext import gettext as _


def parse_encoding(text: str) -> str:
    """The name of a character encoding. Raises ValueError."""
    try:
        # some names are of codecs that are no encodings, or that cannot do without an error
        "a".encode(text, "surrogateescape")
        codecs.getincrementaldecoder(text)("backslashreplace").decode(b"a\xff", True)
        return codecs.lookup(text).name
    except Exception:
        raise ValueError(
            _("{text!r} is no encoding; expected one such as utf-8 or gb18030").format(text=text)
        ) from None
