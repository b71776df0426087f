"""Bytes of a peer as one line of printable ASCII, and that text back as the same bytes.

Rule 1: whatever a peer sent goes through this module before it meets a log or a terminal.
Rule 2: nothing is dropped or replaced: ``unescape(escape(data)) == data`` for all data.
"""

from __future__ import annotations

import codecs
import re
from gettext import gettext as _

_NAMED = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_ESCAPED = [_NAMED.get(byte) or (chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02x}") for byte in range(256)]
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([\\nrt]))")
_MEANING = {"\\": b"\\", "n": b"\n", "r": b"\r", "t": b"\t"}


def escape(data: bytes) -> str:
    r"""Every byte as printable ASCII: itself, or ``\\ \n \r \t``, or ``\xNN``."""
    return "".join(map(_ESCAPED.__getitem__, data))


def shown(data: bytes, limit: int) -> str:
    r"""As escape, but of at most `limit` bytes, saying what was cut.

    The mark begins with ``\.``, which no escape does, so a peer cannot forge it.
    """
    if len(data) <= limit:
        return escape(data)
    cut = _("first {limit} of {size} bytes").format(limit=limit, size=len(data))
    return f"{escape(data[:limit])}\\... ({cut})"


def harmless(text: str) -> str:
    """Text for a person's terminal: characters that are not printable, line ends among them, are escaped."""
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class TerminalText:
    r"""A stream of a peer's bytes as text for a terminal: decoded, line ends and tabs kept, all else escaped.

    Escaped are bytes that the encoding has no character for and characters that are not printable: control
    characters, which could move the cursor or worse, and those that change the direction of writing.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")

    def feed(self, data: bytes, final: bool = False) -> str:
        """The text of some more bytes; a character that is not whole yet is kept for the next time."""
        text = self._decoder.decode(data, final)
        return "".join(each if each in "\n\t" else _visible(each) for each in text)


def unescape(text: str) -> bytes:
    r"""The bytes that escape made `text` from; characters beyond ASCII count as their UTF-8.

    Raises ValueError naming the place of a backslash that begins none of ``\\ \n \r \t \xNN``.
    """
    parts = []
    position = 0
    while (backslash := text.find("\\", position)) >= 0:
        found = _ESCAPE.match(text, backslash)
        if found is None:
            raise ValueError(
                _(r"'{text}' at character {place} is no escape; expected \n, \r, \t, \\ or \xNN").format(
                    text=text[backslash : backslash + 4], place=backslash + 1
                )
            )
        parts.append(_encode(text[position:backslash]))
        parts.append(bytes.fromhex(found[1]) if found[1] else _MEANING[found[2]])
        position = found.end()
    return b"".join([*parts, _encode(text[position:])])


def _encode(text: str) -> bytes:
    # a command line's undecodable bytes arrive as surrogates: give them back as they were typed
    return text.encode("utf-8", "surrogateescape")
