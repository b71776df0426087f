"""Read the programs and the commands of documents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("tutorial", "tutorial-experiments")


class Block(NamedTuple):
    """Hold a fenced block: what follows the fence, and its lines."""

    info: str
    text: str


class Command(NamedTuple):
    """Hold a command of a console block, and its expected output; `...` stands for any text."""

    line: str
    output: str


def page(name: str, language: str = "") -> str:
    """Return the text of a page; `language` is empty for English."""
    suffix = f".{language}" if language else ""
    return (DOCS / f"{name}{suffix}.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [Block(*found) for found in re.findall(r"^```(.+)\n((?s:.*?))^```$", text, re.MULTILINE)]


def programs(text: str) -> dict[str, str]:
    """Return the programs of a page by file name, which is in their first lines."""
    sources = [block.text for block in blocks(text) if block.info == "python"]
    return {source[2:].partition(":")[0]: source for source in sources}


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    return [Command(line, output) for line, _, output in (part.partition("\n") for part in parts)]


def shown_commands(text: str) -> list[Command]:
    """Return the commands of the indented blocks of a page, which begin with `$ `."""
    found = re.findall(r"(?m)^    \$ .*(?:\n(?:    .*|(?=\n    )))*", text)
    return [command for each in found for command in commands(Block("", re.sub("(?m)^    ", "", each)))]


def man_page_commands(name: str) -> list[Command]:
    """Return the commands that the descriptions of a man page end with, after `Example:`."""
    text = (DOCS / "man" / name).read_text(encoding="utf-8").replace("\\-", "-").replace("\\(aq", "'")
    return [Command(line, "") for line in re.findall(r"Example: (.*)", text)]
