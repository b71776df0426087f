"""Bytes of a peer as one line of printable ASCII, and that text back as the same bytes.

Rule 1: whatever a peer sent goes through this module before it meets a log or a terminal.
Rule 2: nothing is dropped or replaced: ``unescape(escape(data)) == data`` for all data.
"""

from __future__ import annotations

import re

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
    return f"{escape(data[:limit])}\\... (first {limit} of {len(data)} bytes)"


def harmless(text: str) -> str:
    """Text for a person's terminal: characters that are not printable, line ends among them, are escaped."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


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
                f"'{text[backslash : backslash + 4]}' at character {backslash + 1} is no escape; "
                r"expected \n, \r, \t, \\ or \xNN"
            )
        parts.append(_encode(text[position:backslash]))
        parts.append(bytes.fromhex(found[1]) if found[1] else _MEANING[found[2]])
        position = found.end()
    return b"".join([*parts, _encode(text[position:])])


def _encode(text: str) -> bytes:
    # a command line's undecodable bytes arrive as surrogates: give them back as they were typed
    return text.encode("utf-8", "surrogateescape")
