"""Make the option table of docs/options.md from the declarations of the daemon's options."""

from __future__ import annotations

import re
from collections.abc import Iterator

from echotime.config.option_spec import OptionSpec
from echotime.config.settings import GROUPS

_BEGIN, _END = "<!-- options -->", "<!-- /options -->"
_NOTE = "<!-- Made from echotime/config/settings.py by `make docs`; edit that. -->"
_CODE = re.compile(r"--[a-z][a-z-]*(?: help\b)?|twistd -n|\\(?:xNN|\{NAME\}|.)(?: \\(?:xNN|.))*")
_HEADER = """\
| option | what it does | values | default | example | reload |
|---|---|---|---|---|---|"""


def insert(document: str) -> str:
    """Return a document with the table of now between its markers."""
    before, _begin, rest = document.partition(_BEGIN)
    _old, _end, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{_NOTE}\n{chr(10).join(_lines())}\n{_END}{after}"


def _lines() -> Iterator[str]:
    for title, options in GROUPS.items():
        yield f"\n## {title}\n\n{_HEADER}"
        yield from map(_row, options)


def _row(each: OptionSpec) -> str:
    cells = [
        f"`{each.form}`" + ", repeatable" * each.repeatable,
        _as_code(each.help),
        each.accepts,
        f"`{each.shown_default}`" if "\\" in each.shown_default else _as_code(each.shown_default or "off"),
        f"`--{each.name} {each.example}`" if each.example else "",
        "yes" if each.reloadable else "",
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _as_code(text: str) -> str:
    """Mark options and escapes as code."""
    return _CODE.sub(r"`\g<0>`", text)
