"""Make the shell completion of etc/completion: that of echotime by shtab, from its parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shtab

from echotime.cli.control.verbs import COMMANDS, WATCH_HELP
from echotime.cli.main import build_parser
from echotime.config.option_spec import OptionSpec
from echotime.config.settings import GROUPS, OPTIONS
from echotime.demos.index import TOPICS
from echotime.sockopt.catalogue.index import CATALOGUE

_NAMES = [option.name for option in CATALOGUE]
_ASSIGNMENTS = " ".join(f"{option.name}=" for option in CATALOGUE if option.settable)
_COMPLETE = {
    "HOST[:PORT]": {"bash": "_echotime_hosts", "zsh": "_hosts"},
    "NAME=VALUE": {"bash": "_echotime_assignments", "zsh": "_echotime_assignments"},
    "PATH": shtab.FILE,
}
"""Shell functions that complete a value, by its metavar."""
_CHOICES = {
    "options": _NAMES,
    "subjects": [*TOPICS, *_NAMES],
    "warning": ["tcp=", "udp=", "offset="],
    "critical": ["tcp=", "udp=", "offset="],
}
"""Words that complete a value which argparse does not restrict to them."""
_PREAMBLE = {
    "bash": f"""\
_echotime_hosts() {{ compgen -A hostname -- "$1"; }}
_echotime_assignments() {{ compgen -W '{_ASSIGNMENTS}' -- "$1"; }}""",
    "zsh": f"""\
_echotime_assignments() {{
  compset -P '(tcp|udp):' || compadd -S '' -- tcp: udp:
  compadd -S '' -- {_ASSIGNMENTS}
}}""",
}
_NO_BLANK = """
# no blank after NAME=
_echotime() { _shtab_echotime; [[ ${COMPREPLY-} != *= ]] || compopt -o nospace; }
complete -o bashdefault -F _echotime echotime
"""


def scripts() -> dict[str, str]:
    """Return the contents of the files, by name."""
    template = Path(__file__).with_name("twistd-echotime.bash.in").read_text(encoding="utf-8")
    values = {
        "OPTIONS": " ".join(f"--{each.name}" for options in GROUPS.values() for each in options),
        "PATHS": _named(lambda each: each.is_path),
        "GROUPS": _named(lambda each: each.metavar == "GROUP"),
        "CHOICES": "\n".join(
            f"    --{each.name}) words='{' '.join(each.choices)}' ;;"
            for each in OPTIONS
            if each.choices and not each.repeatable
        ),
        "ASSIGNMENTS": _ASSIGNMENTS,
    }
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return {
        "echotime.bash": _echotime("bash") + _NO_BLANK,
        "_echotime": _echotime("zsh"),
        "twistd-echotime.bash": template,
    }


def _named(has_kind: Callable[[OptionSpec], bool]) -> str:
    return " | ".join(f"--{each.name}" for each in OPTIONS if has_kind(each))


def _echotime(shell: str) -> str:
    whole = build_parser()
    (commands,) = (each for each in whole._actions if isinstance(each, argparse._SubParsersAction))
    for command in commands.choices.values():
        for action in command._actions:
            _complete(action)
    _add_verbs(commands.choices["control"])
    made = shtab.complete(whole, shell, preamble=_PREAMBLE[shell]).rstrip() + "\n"
    # for zsh shtab completes the first of several arguments alone
    return made.replace('"(*)::', '"*:')


def _complete(action: Any) -> None:
    if action.metavar in _COMPLETE:
        action.complete = _COMPLETE[action.metavar]
    if action.metavar:
        # for zsh a colon would end the message, and shtab does not escape it
        action.metavar = action.metavar.replace(":", r"\:")
    action.choices = action.choices or _CHOICES.get(action.dest)


def _add_verbs(control: argparse.ArgumentParser) -> None:
    """Replace the argument that takes all remaining words, which shtab cannot complete, by a parser for each verb."""
    (words,) = (each for each in control._actions if each.dest == "command")
    control._actions.remove(words)
    verbs = control.add_subparsers()
    texts = {**{name: verb.help for name, verb in COMMANDS.items()}, "watch": WATCH_HELP}
    found = {name: verbs.add_parser(name, help=text, add_help=False) for name, text in texts.items()}
    found["answer"].add_argument("id", choices=["next", "all"])
    for name in ("sockopts", "set"):
        found[name].add_argument("target", choices=["tcp", "udp"])
    found["sockopts"].add_argument("name", nargs="*", choices=["all", *_NAMES])
    _complete(found["set"].add_argument("assignment", metavar="NAME=VALUE"))
