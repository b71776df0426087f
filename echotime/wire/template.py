r"""Parse text with places such as ``\{peer}``, which get another value for each message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from gettext import gettext as _

from echotime.wire.escape import unescape

NAMES = ("peer", "peer_host", "via", "server", "host", "time", "connection", "message", "rtt", "mss", "ttl", "syn")
"""The names of all places, in the order of the documentation."""
_ESCAPE = re.compile(r"\\(?:(\{)([^\\{}]*)(\}?)|.)", re.DOTALL)
"""A place, or a backslash with the character that it escapes, so that ``\\{`` begins no place."""


@dataclass(frozen=True)
class Template:
    """Hold a text with places: constant parts as bytes, and the names of places as str."""

    parts: tuple[bytes | str, ...]


Text = bytes | Template
"""A text that is the same for all messages, or one with places."""


def parse_template(text: str, known: Mapping[str, str]) -> Text:
    r"""Return the text with the escapes of `unescape`, and with places ``\{NAME}``. Those in `known` are filled in.

    Raises ValueError for an escape or a name that does not exist, or UnicodeEncodeError.
    """
    parts: list[bytes | str] = [b""]
    position = 0

    def add_constant(constant: bytes) -> None:
        if isinstance(last := parts[-1], bytes):
            parts[-1] = last + constant
        else:
            parts.append(constant)

    for found in _ESCAPE.finditer(text):
        if not found[1]:
            continue
        if not found[3] or found[2] not in NAMES:
            raise ValueError(
                _(r"unknown escape '{text}' at character {place}; expected \{{NAME}}, with NAME one of {names}").format(
                    text=found[0], place=found.start() + 1, names=", ".join(NAMES)
                )
            )
        add_constant(unescape(text, start=position, end=found.start()))
        if found[2] in known:
            add_constant(known[found[2]].encode())
        else:
            parts.append(found[2])
        position = found.end()
    add_constant(unescape(text, start=position))
    return parts[0] if len(parts) == 1 and isinstance(parts[0], bytes) else Template(tuple(parts))


def parse_constant(text: str) -> bytes:
    r"""Return a text without places, as `unescape` does. Raises ValueError also for a place."""
    for found in _ESCAPE.finditer(text):
        if found[1]:
            raise ValueError(
                _("only the server knows the value of {escape}; expected a constant text").format(escape=found[0])
            )
    return unescape(text)
