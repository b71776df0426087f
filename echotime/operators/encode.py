"""Encode the text that an operator types as the bytes of a reply."""

from __future__ import annotations

import unicodedata
from gettext import gettext as _

from echotime.wire.escape import unescape


class InvalidReply(ValueError):
    """Report why a text cannot be encoded as a reply."""


def encode_reply(text: str, encoding: str, *, raw: bool = False) -> bytes:
    r"""Return the bytes of a reply. With `raw`, the escapes ``\n \r \t \\ \xNN`` are replaced.

    Raises InvalidReply, also for control characters, which only escapes can express.
    """
    if any(unicodedata.category(each) == "Cc" for each in text):
        raise InvalidReply(_("control characters are not allowed in a reply; write them as escapes, with --raw"))
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
