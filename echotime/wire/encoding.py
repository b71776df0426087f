"""Check names of character encodings."""

from __future__ import annotations

import codecs
from gettext import gettext as _


def parse_encoding(text: str) -> str:
    """Return the normalized name of a character encoding. Raises ValueError."""
    try:
        # some names belong to codecs that are not text encodings, or that lack these error handlers
        "a".encode(text, "surrogateescape")
        codecs.getincrementaldecoder(text)("backslashreplace").decode(b"a\xff", True)
        return codecs.lookup(text).name
    except Exception:
        raise ValueError(
            _("unknown encoding {text!r}; expected a name such as utf-8 or gb18030").format(text=text)
        ) from None
