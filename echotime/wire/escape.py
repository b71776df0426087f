"""Bytes of a peer as one line of printable ASCII, and that text back as the same bytes.

Rule 1: whatever a peer sent goes through this module before it meets a log or a terminal.
Rule 2: nothing is dropped or replaced: ``unescape(escape(data)) == data`` for all data.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from gettext import gettext as _

_WIDE_CLASSES = frozenset({"F", "W"})
_ERROR_HANDLER = "echotime.marked"
_SURROGATE_BASE, _MAX_BYTE = 0xDC00, 0xFF
_NAMED_ESCAPES = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_ESCAPES = [
    _NAMED_ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02x}") for byte in range(256)
]
_ESCAPE_PATTERN = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([\\nrt]))")
_ESCAPED_BYTES = {"\\": b"\\", "n": b"\n", "r": b"\r", "t": b"\t"}


def escape(data: bytes) -> str:
    r"""Every byte as printable ASCII: itself, or ``\\ \n \r \t``, or ``\xNN``."""
    return "".join(map(_ESCAPES.__getitem__, data))


def preview(data: bytes, limit: int) -> str:
    r"""As escape, but of at most `limit` bytes, saying what was cut.

    The mark begins with ``\.``, which no escape does, so a peer cannot forge it.
    """
    if len(data) <= limit:
        return escape(data)
    return f"{escape(data[:limit])}\\... ({_truncation_note(limit, len(data))})"


def _truncation_note(limit: int, size: int) -> str:
    return _("first {limit} of {size} bytes").format(limit=limit, size=size)


def sanitize(text: str) -> str:
    """Text for a person's terminal: characters that are not printable, line ends among them, are escaped."""
    return "".join(map(_escape_unprintable, text))


def _escape_unprintable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def display_width(text: str) -> int:
    """How many columns of a terminal it takes; a Chinese character takes two."""
    return len(text) + sum(map(is_wide, text))


def is_wide(character: str) -> bool:
    """Whether it takes two columns."""
    return unicodedata.east_asian_width(character) in _WIDE_CLASSES


def preview_decoded(data: bytes, limit: int, encoding: str, size: int | None = None) -> str:
    r"""As shown, but decoded: characters of the encoding that are printable are themselves, all else is escaped.

    `size` is how many bytes there were, if `data` is only their beginning.
    """
    size = len(data) if size is None else size
    try:
        text = codecs.getincrementaldecoder(encoding)(_ERROR_HANDLER).decode(data[:limit], size <= limit)
    except UnicodeError:  # some, as utf-16 without its mark, cannot do with an error
        return preview(data, limit)
    decoded = "".join(_NAMED_ESCAPES.get(ord(each)) or _escape_decoded(each) for each in text)
    return decoded if size <= limit else f"{decoded}\\... ({_truncation_note(limit, size)})"


def _decode_as_surrogates(error: UnicodeError) -> tuple[str, int]:
    """Bytes that cannot be decoded as lone surrogates, which no decoder makes, to be told from backslashes."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(_SURROGATE_BASE + byte) for byte in error.object[error.start : error.end]), error.end


def _escape_decoded(character: str) -> str:
    byte = ord(character) - _SURROGATE_BASE
    return f"\\x{byte:02x}" if 0 <= byte <= _MAX_BYTE else _escape_unprintable(character)


codecs.register_error(_ERROR_HANDLER, _decode_as_surrogates)


class TerminalDecoder:
    r"""A stream of a peer's bytes as text for a terminal: decoded, line ends and tabs kept, all else escaped.

    Escaped are bytes that the encoding has no character for and characters that are not printable: control
    characters, which could move the cursor or worse, and those that change the direction of writing.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")

    def feed(self, data: bytes, final: bool = False) -> str:
        """The text of some more bytes; a character that is not whole yet is kept for the next time."""
        text = self._decoder.decode(data, final)
        return "".join(each if each in "\n\t" else _escape_unprintable(each) for each in text)


def unescape(text: str, encoding: str = "utf-8") -> bytes:
    r"""The bytes that escape made `text` from; characters beyond ASCII are encoded.

    Raises UnicodeEncodeError, or ValueError naming the place of a backslash that begins none of ``\\ \n \r \t \xNN``.
    """
    parts = []
    position = 0
    while (backslash := text.find("\\", position)) >= 0:
        found = _ESCAPE_PATTERN.match(text, backslash)
        if found is None:
            raise ValueError(
                _(r"'{text}' at character {place} is no escape; expected \n, \r, \t, \\ or \xNN").format(
                    text=text[backslash : backslash + 4], place=backslash + 1
                )
            )
        parts.append(_encode(text[position:backslash], encoding))
        parts.append(bytes.fromhex(found[1]) if found[1] else _ESCAPED_BYTES[found[2]])
        position = found.end()
    return b"".join([*parts, _encode(text[position:], encoding)])


def _encode(text: str, encoding: str) -> bytes:
    # a command line's undecodable bytes arrive as surrogates: give them back as they were typed
    return text.encode(encoding, "surrogateescape")
