"""A node as functions of zsh, which does the rest itself (_arguments of zshcompsys(1))."""

from __future__ import annotations

from collections.abc import Iterator

from echotime.completion.grammar import SETTABLE, Kind, Node, Option, Takes


def script(root: Node) -> str:
    """The file that compinit loads, which is called as the function is."""
    return "\n".join(
        [
            f"#compdef {root.name}",
            f"# Completion of {root.name} for zsh. Made from the parsers by make docs; edit those.",
            "",
            *_assignment(root),
            *(line for node in root.all() if node is not root for line in _function(node)),
            *_function(root),
            f'{_called(root)} "$@"',
            "",
        ]
    )


def _assignment(root: Node) -> list[str]:
    """For a socket option: its name and =, with tcp: or udp: before it or not."""
    return [
        f"_{root.name}-assignment() {{",
        "    compset -P '(tcp|udp):' || compadd -S '' -- tcp: udp:",
        f"    compadd -S = -- {' '.join(SETTABLE)}",
        "}",
        "",
    ]


def _called(node: Node) -> str:
    return "_" + node.path.replace(" ", "-") if " " in node.path else f"_{node.path}"


def _function(node: Node) -> Iterator[str]:
    yield f"{_called(node)}() {{"
    if node.children:
        yield "    local curcontext=$curcontext state state_descr ret=1"
        yield "    local -a line"
        yield "    local -A opt_args"
    specs = [spec for option in node.options for spec in _specs(option, node)]
    specs += ["'1: :->command'", "'*:: :->rest'"] if node.children else list(_places(node))
    # -C: states, -S: -- ends the options
    yield (
        "    _arguments "
        + ("-C " if node.children else "-S ")
        + " \\\n        ".join(["", *(specs or ["''"])]).lstrip(" ")
    )
    if node.children:
        yield from _children(node)
    yield "}"
    yield ""


def _children(node: Node) -> Iterator[str]:
    yield "    ret=$?"
    yield "    case $state in"
    yield "    command)"
    yield "        local -a commands=("
    for child in node.children:
        yield f"            {_quoted(f'{child.name}:{child.text}')}"
    yield "        )"
    yield "        _describe -t commands command commands && ret=0"
    yield "        ;;"
    yield "    rest)"
    yield '        curcontext="${curcontext%:*}-$words[1]:"'
    yield "        case $words[1] in"
    for child in node.children:
        yield f"        {child.name}) {_called(child)} && ret=0 ;;"
    yield "        esac"
    yield "        ;;"
    yield "    esac"
    yield "    return ret"


def _specs(option: Option, node: Node) -> Iterator[str]:
    others = " ".join(option.names)
    for name in option.names:
        before = "*" if option.repeatable else f"({others})" if len(option.names) > 1 else ""
        named, value = name, ""
        if option.takes is not None:
            # a long one may have its value after =, a short one in the same word
            named = name + ("=" if name.startswith("--") else "+")
            value = f":{_told(option.takes.called or name.strip('-'))}:{_action(option.takes, node)}"
        yield _quoted(f"{before}{named}[{_told(option.text)}]{value}")


def _places(node: Node) -> Iterator[str]:
    for number, place in enumerate(node.places, 1):
        which = "*" if node.repeated and number == len(node.places) else str(number)
        yield _quoted(f"{which}:{_told(place.called)}:{_action(place, node)}")


def _action(takes: Takes, node: Node) -> str:
    if takes.kind is Kind.WORDS:
        return f"({' '.join(takes.words)})"
    root = node.path.partition(" ")[0]
    kinds = {Kind.FILE: "_files", Kind.HOST: "_hosts", Kind.GROUP: "_groups", Kind.ASSIGNMENT: f"_{root}-assignment"}
    return kinds.get(takes.kind, " ")


def _told(text: str) -> str:
    """A description within a specification."""
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
