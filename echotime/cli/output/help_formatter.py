"""Format the help of the tools in lines that fit the terminal, where a Chinese character takes two columns."""

from __future__ import annotations

import argparse
import re
from typing import Any

from echotime.i18n.language import gettext as _
from echotime.terminal.columns import Heading, help_width, wrap
from echotime.wire.escape import display_width

_COLONS = ":\N{FULLWIDTH COLON}"
_EXAMPLE = re.compile(f"[^ ]+[{_COLONS}] ?echotime ")


class HelpFormatter(argparse.HelpFormatter):
    """Wrap help by display width. Lines of a description or an epilog stay lines, with their indentation.

    The continuation of an example is indented.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=help_width())

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None) -> str:
        prefix = _("usage: ") if prefix is None else prefix
        # argparse counts characters, so it formats as many as the prefix has columns
        placeholder = "\0" * display_width(prefix)
        return str(super()._format_usage(usage, actions, groups, placeholder)).replace(placeholder, prefix, 1)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return list(wrap(" ".join(text.split()), width=width))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = []
        for line in text.splitlines():
            start = indent + line[: len(line) - len(line.lstrip())]
            more = start + "  " * bool(_EXAMPLE.match(line))
            lines += list(wrap(line, start, more, width)) or [""]
        return "\n".join(lines)


def mark_headings(text: str) -> list[str]:
    """Return the lines of a help text. Headings such as `options:` are marked as such.

    Before Python 3.13 argparse ends a heading with a colon that is not translated.
    """
    colon = _(": ").rstrip()
    return [
        Heading(line.rstrip(_COLONS) + colon) if line.endswith(tuple(_COLONS)) and not line.startswith(" ") else line
        for line in text.splitlines()
    ]
