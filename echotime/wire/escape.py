"""Show bytes and text from outside the process as one line of printable text, and convert escaped text to bytes.

Bytes of a peer go through `escape` or one of the previews. Text goes through `sanitize`, which the log, the tools and
the operator's terminal apply to all that they show: the names of interfaces, users and sockets come from outside, too.
Escaping is lossless: ``unescape(escape(data)) == data`` for all data.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from gettext import gettext as _

_WIDE_CLASSES = frozenset({"F", "W"})
_ERROR_HANDLER = "echotime.surrogates"
_SURROGATE_BASE, _MAX_BYTE = 0xDC00, 0xFF
_NAMED_ESCAPES = {ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}
_ESCAPES = [
    _NAMED_ESCAPES.get(byte) or (chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02x}") for byte in range(256)
]
_ESCAPE_PATTERN = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([\\nrt]))")
_ESCAPED_BYTES = {"\\": b"\\", "n": b"\n", "r": b"\r", "t": b"\t"}


def escape(data: bytes) -> str:
    r"""Return printable ASCII for the bytes: each as itself, as one of ``\\ \n \r \t``, or as ``\xNN``."""
    return "".join(map(_ESCAPES.__getitem__, data))


def preview(data: bytes, limit: int) -> str:
    r"""Escape at most `limit` bytes, and append a note if the data is longer.

    The note begins with ``\.``, which is not an escape, so a peer cannot forge it.
    """
    return escape(data[:limit]) + _truncation_note(limit, len(data))


def _truncation_note(limit: int, size: int) -> str:
    if size <= limit:
        return ""
    return cut_mark(limit, size) + " (" + _("first {limit} of {size} bytes").format(limit=limit, size=size) + ")"


def cut_mark(shown: int, size: int) -> str:
    r"""Return ``\...`` if only the first `shown` bytes of `size` are shown, else the empty string."""
    return "\\..." if shown < size else ""


def sanitize(text: str) -> str:
    """Escape all characters that are not printable, line ends included. A backslash stays as it is."""
    return text if text.isprintable() else "".join(map(_escape_unprintable, text))


def _escape_unprintable(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def display_width(text: str) -> int:
    """Return the number of terminal columns that the text takes."""
    return len(text) + sum(map(is_wide, text))


def is_wide(character: str) -> bool:
    """Return True if the character takes two terminal columns, as Chinese characters do."""
    return unicodedata.east_asian_width(character) in _WIDE_CLASSES


def preview_decoded(data: bytes, limit: int, encoding: str, size: int | None = None) -> str:
    """Decode at most `limit` bytes, escape what is not printable, and append a note if the data is longer.

    `size` is the length of the whole message if `data` is only its beginning.
    """
    size = len(data) if size is None else size
    try:
        text = codecs.getincrementaldecoder(encoding)(_ERROR_HANDLER).decode(data[:limit], size <= limit)
    except UnicodeError:  # some decoders ignore the error handler, such as utf-16 without a byte order mark
        return preview(data, limit)
    decoded = "".join(_NAMED_ESCAPES.get(ord(each)) or _escape_decoded(each) for each in text)
    return decoded + _truncation_note(limit, size)


def _decode_as_surrogates(error: UnicodeError) -> tuple[str, int]:
    """Replace undecodable bytes by lone surrogates, which distinguish them from backslashes in the text."""
    assert isinstance(error, UnicodeDecodeError)
    return "".join(chr(_SURROGATE_BASE + byte) for byte in error.object[error.start : error.end]), error.end


def _escape_decoded(character: str) -> str:
    byte = ord(character) - _SURROGATE_BASE
    return f"\\x{byte:02x}" if 0 <= byte <= _MAX_BYTE else _escape_unprintable(character)


codecs.register_error(_ERROR_HANDLER, _decode_as_surrogates)


class TerminalDecoder:
    """Decode a stream of a peer's bytes for a terminal. Line feeds and tabs are kept.

    Undecodable bytes and unprintable characters are escaped. Control characters could move the cursor, and other
    characters could change the direction of writing.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")

    def feed(self, data: bytes, final: bool = False) -> str:
        """Return the text of more bytes. An incomplete character is kept for the next call unless `final`."""
        text = self._decoder.decode(data, final)
        return "".join(each if each in "\n\t" else _escape_unprintable(each) for each in text)


def unescape(text: str, encoding: str = "utf-8", start: int = 0, end: int | None = None) -> bytes:
    r"""Return the bytes that the escaped text stands for. Characters beyond ASCII are encoded.

    Raises ValueError with the position of a backslash that begins none of ``\\ \n \r \t \xNN``, or UnicodeEncodeError.
    With `start` or `end`, only a slice is converted, and a position still counts from the beginning of the text.
    """
    parts = []
    position, end = start, len(text) if end is None else end
    while (backslash := text.find("\\", position, end)) >= 0:
        found = _ESCAPE_PATTERN.match(text, backslash, end)
        if found is None:
            raise ValueError(
                _(r"unknown escape '{text}' at character {place}; expected \n, \r, \t, \\ or \xNN").format(
                    text=text[backslash : backslash + 4], place=backslash + 1
                )
            )
        parts.append(_encode(text[position:backslash], encoding))
        parts.append(bytes.fromhex(found[1]) if found[1] else _ESCAPED_BYTES[found[2]])
        position = found.end()
    return b"".join([*parts, _encode(text[position:end], encoding)])


def _encode(text: str, encoding: str) -> bytes:
    # Python decodes undecodable bytes of the command line to surrogates: restore the original bytes
    return text.encode(encoding, "surrogateescape")
