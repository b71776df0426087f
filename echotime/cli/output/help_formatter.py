"""Format the help of the tools in lines that fit the terminal, where a Chinese character takes two columns."""

from __future__ import annotations

import argparse

from echotime.terminal.columns import Heading, help_width, wrap


class HelpFormatter(argparse.HelpFormatter):
    """Wrap help by display width. Lines of a description or an epilog stay lines, with their indentation."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=help_width())

    def _split_lines(self, text: str, width: int) -> list[str]:
        return list(wrap(" ".join(text.split()), width=width))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = []
        for line in text.splitlines():
            start = indent + line[: len(line) - len(line.lstrip())]
            lines += list(wrap(line, start, start, width)) or [""]
        return "\n".join(lines)


def mark_headings(text: str) -> list[str]:
    """Return the lines of a help text. Headings such as `options:` are marked as such."""
    return [
        Heading(line) if line.endswith((":", "\N{FULLWIDTH COLON}")) and not line.startswith(" ") else line
        for line in text.splitlines()
    ]
