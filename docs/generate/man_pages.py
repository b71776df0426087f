"""Make the man pages of docs/man: echotime(1) by argparse-manpage, and the options of twistd-echotime(8)."""

from __future__ import annotations

import argparse
from pathlib import Path

from argparse_manpage.manpage import Manpage

from echotime.cli.control.verbs import COMMANDS
from echotime.cli.control.watch import WATCH_HELP, WATCH_USAGE
from echotime.cli.main import build_parser
from echotime.config.settings import GROUPS

_HERE = Path(__file__).parent
_DATE = "November 28, 2026"
_MADE = '.\\" Made by make docs from docs/generate; edit that.\n'


def pages() -> dict[str, str]:
    """Return the pages, by file name."""
    template = (_HERE / "twistd-echotime.8.in").read_text(encoding="utf-8")
    return {
        "echotime.1": _MADE + _echotime(),
        "twistd-echotime.8": _MADE + template.replace("@DATE@", _DATE).replace("@OPTIONS@", _options()),
    }


def _echotime() -> str:
    whole = build_parser()
    (commands,) = (each for each in whole._actions if isinstance(each, argparse._SubParsersAction))
    whole._positionals.title = "commands"
    for command in commands.choices.values():
        # argparse-manpage leaves out the epilogs of subcommands; their first lines are examples
        command.description = f"{command.description} {str(command.epilog).partition(chr(10))[0]}"
    page = Manpage(whole, format="single-commands-section")
    page.date, page.source, page.manual = _DATE, "echotime", "echotime manual"
    page.description = "talk to an echo-with-reply and time server"
    page.add_section("control commands", "=", _verbs())
    page.parse_include(_HERE / "echotime.1.in")
    return str(page)


def _verbs() -> str:
    entries = [_entry(f"{name} {verb.usage}".strip(), verb.help) for name, verb in COMMANDS.items()]
    return "\n".join([*entries, _entry(f"watch {WATCH_USAGE}", WATCH_HELP)])


def _options() -> str:
    lines = []
    for title, options in GROUPS.items():
        lines += [f".SS {title}", *(_entry(each.form, each.usage) for each in options)]
    return "\n".join(lines)


def _entry(term: str, text: str) -> str:
    return f".TP\n.B {_escaped(term)}\n{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")
