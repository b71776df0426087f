"""An operator's typed text as the word's bytes."""

from __future__ import annotations

import unicodedata
from gettext import gettext as _

from echotime.wire.escape import unescape


class InvalidReply(ValueError):
    """The text is no word; says why."""


def encode_reply(text: str, encoding: str, *, raw: bool = False) -> bytes:
    r"""The word, as typed. With `raw` escapes (``\n \r \t \\ \xNN``) are understood, and only so control characters.

    Raises InvalidReply.
    """
    if any(unicodedata.category(each) == "Cc" for each in text):
        raise InvalidReply(_("a word with control characters is refused; write them as escapes, raw"))
    try:
        return unescape(text, encoding) if raw else text.encode(encoding)
    except UnicodeEncodeError as error:
        raise InvalidReply(
            _("{character} cannot be written in {encoding}").format(
                character=ascii(error.object[error.start]), encoding=encoding
            )
        ) from None
    except ValueError as error:
        raise InvalidReply(str(error)) from None
