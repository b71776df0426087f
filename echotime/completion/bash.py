"""A node as functions of bash. The part that is the same whatever the commands are stands in engine.bash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from echotime.completion.grammar import SETTABLE, Kind, Node, Takes

ENGINE = Path(__file__).with_name("engine.bash")


def script(root: Node) -> str:
    """What bash reads when a word of the command is to be completed for the first time."""
    name = root.name.replace("-", "_")
    lines = [
        f"# Completion of {root.name} for bash, from 4.3 on. Made from the parsers by make docs; edit those.",
        "",
        f"_{name}_offered() {{",
        "    case $1 in",
        *(
            f"    {_quoted(node.path)}) options={_words(_names(node))} commands={_words(_children(node))} ;;"
            for node in root.all()
        ),
        "    esac",
        "}",
        "",
        f"_{name}_taken() {{",
        "    case $1 in",
        *(f"    {each}" for node in root.all() for each in _taken(node)),
        "    esac",
        "}",
        "",
        f"_{name}_settable={_words(SETTABLE)}",
        "",
        ENGINE.read_text(encoding="utf-8").replace("@name@", name).replace("@root@", root.path).rstrip("\n"),
        "",
        f"complete -F _{name} {root.name}",
        "",
    ]
    return "\n".join(lines)


def _names(node: Node) -> Iterator[str]:
    return (name for option in node.options for name in option.names if name.startswith("--"))


def _children(node: Node) -> Iterator[str]:
    return (child.name for child in node.children)


def _taken(node: Node) -> Iterator[str]:
    """What follows an option, or stands in a place that is called by its number."""
    for option in node.options:
        if option.takes is not None:
            yield _case([f"{node.path} {name}" for name in option.names], option.takes)
    for number, place in enumerate(node.places, 1):
        last = node.repeated and number == len(node.places)
        pattern = f"{_quoted(f'{node.path} ')}[{number}-9]*" if last else _quoted(f"{node.path} {number}")
        yield f"{pattern}) {_found(place)} ;;"


def _case(keys: list[str], takes: Takes) -> str:
    return f"{' | '.join(map(_quoted, keys))}) {_found(takes)} ;;"


def _found(takes: Takes) -> str:
    return f"kind={takes.kind.value}" + (f" words={_words(takes.words)}" if takes.kind is Kind.WORDS else "")


def _words(words: Iterator[str] | tuple[str, ...]) -> str:
    return _quoted(" ".join(words))


def _quoted(text: str) -> str:
    assert "'" not in text
    return f"'{text}'"
