"""What may follow what on the two command lines, read from their parsers. No shell is named here."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from twisted.python import usage

from echotime.command.control_verbs import VERBS
from echotime.command.main import parser
from echotime.daemon.option_table import COMPLETIONS
from echotime.daemon.options import Options
from echotime.demonstrations.index import TOPICS
from echotime.sockopt.catalogue import CHAPTERS

NAMES = tuple(option.name for chapter in CHAPTERS for option in chapter.rows)
SETTABLE = tuple(option.name for chapter in CHAPTERS for option in chapter.rows if option.settable)


class Kind(Enum):
    """How a value is found."""

    TEXT = "text"
    """It is not: anybody's guess."""
    FILE = "file"
    HOST = "host"
    GROUP = "group"
    WORDS = "words"
    """One of those that are listed."""
    ASSIGNMENT = "assignment"
    """A socket option that can be set, and =; tcp: or udp: may stand before it."""


class Takes(NamedTuple):
    """What an option takes, or what stands in a place."""

    kind: Kind
    called: str = ""
    words: tuple[str, ...] = ()


class Option(NamedTuple):
    """`takes` is None for a switch."""

    names: tuple[str, ...]
    text: str
    takes: Takes | None
    repeatable: bool


class Node(NamedTuple):
    """A command: its options, and then either commands of its own or arguments; of those the last may be repeated."""

    path: str
    """All words that lead here."""
    text: str
    options: tuple[Option, ...] = ()
    children: tuple[Node, ...] = ()
    places: tuple[Takes, ...] = ()
    repeated: bool = False

    @property
    def name(self) -> str:
        """Its last word."""
        return self.path.rpartition(" ")[2]

    def all(self) -> Iterator[Node]:
        """It and all below it."""
        yield self
        for child in self.children:
            yield from child.all()


def tools() -> Node:
    """``echotime``."""
    whole = parser()
    (commands,) = (each for each in whole._actions if isinstance(each, argparse._SubParsersAction))
    children = tuple(_command(name, each) for name, each in commands.choices.items())
    return Node("echotime", str(whole.description), tuple(_options(whole)), children)


def _command(name: str, found: argparse.ArgumentParser) -> Node:
    path = f"echotime {name}"
    node = Node(path, str(found.description).partition(". ")[0].rstrip("."), tuple(_options(found)))
    if name == "control":
        return node._replace(children=tuple(_verbs(path)))
    places = [each for each in found._actions if not each.option_strings]
    return node._replace(places=tuple(map(_taken, places)), repeated=bool(places) and places[-1].nargs == "*")


def _verbs(path: str) -> Iterator[Node]:
    target = Takes(Kind.WORDS, "tcp|udp|CONNECTION", ("tcp", "udp"))
    places = {
        "sockopts": (target, Takes(Kind.WORDS, "NAME", ("all", *NAMES))),
        "set": (target, Takes(Kind.ASSIGNMENT, "NAME=VALUE")),
        "answer": (Takes(Kind.WORDS, "ID", ("next", "all")),),
    }
    for name, verb in VERBS.items():
        yield Node(f"{path} {name}", verb.help, places=places.get(name, ()), repeated=name == "sockopts")
    yield Node(f"{path} watch", "show what happens; what is typed answers the oldest question")


def _options(found: argparse.ArgumentParser) -> Iterator[Option]:
    for action in found._actions:
        if action.option_strings:
            takes = None if action.nargs == 0 else _taken(action)
            repeatable = isinstance(action, argparse._AppendAction)
            text = str(action.help) % {"default": action.default}
            yield Option(tuple(action.option_strings), text, takes, repeatable)


def _taken(action: argparse.Action) -> Takes:
    called = str(action.metavar or action.dest)
    listed: dict[str, Iterable[str]] = {
        "options": NAMES,
        "subjects": (*TOPICS, *NAMES),
        "warning": ("tcp=", "udp=", "offset="),
        "critical": ("tcp=", "udp=", "offset="),
    }
    if action.choices or action.dest in listed:
        return Takes(Kind.WORDS, called, tuple(map(str, action.choices or listed[action.dest])))
    kinds = {"HOST[:PORT]": Kind.HOST, "PATH": Kind.FILE, "NAME=VALUE": Kind.ASSIGNMENT}
    return Takes(kinds.get(called, Kind.TEXT), called)


_FILE, _TEXT, _GROUP = Takes(Kind.FILE), Takes(Kind.TEXT), Takes(Kind.GROUP)
_TWISTD = {
    "chroot": (_FILE, "change the root to this folder"),
    "gid": (_GROUP, "give privileges up for this group"),
    "help": (None, "print what there is and end"),
    "logfile": (_FILE, "log to this file, - for standard output"),
    "nodaemon": (None, "stay in the foreground"),
    "pidfile": (_FILE, "where the process id is written; empty: nowhere"),
    "prefix": (_TEXT, "with --syslog: what stands before each line"),
    "reactor": (_TEXT, "which reactor to use"),
    "rundir": (_FILE, "change to this folder"),
    "syslog": (None, "log to syslog"),
    "uid": (_TEXT, "give privileges up for this user"),
    "umask": (_TEXT, "the mask of modes, octal"),
    "version": (None, "print the version of Twisted and end"),
}
"""Those of twistd's own that make sense for a service; every release of Twisted has them, in words of its own."""


def daemon() -> Node:
    """``twistd-echotime``, which is twistd: options of its own, the word echotime, and then the daemon's."""
    served = Node("twistd-echotime echotime", "TCP echo-with-reply and UDP time server", tuple(_daemon_options()))
    own = tuple(Option((f"--{name}",), text, takes, False) for name, (takes, text) in _TWISTD.items())
    return Node("twistd-echotime", "twistd", own, (served,))


def _daemon_options() -> Iterator[Option]:
    """In alphabetical order. usage.Options keeps what completes them apart; see option_table.COMPLETIONS."""
    options = Options()
    for declared in sorted(options.longOpt):
        name, takes_value, _rest = declared.partition("=")
        text = " ".join((options.docs[name] or "").split())
        takes = _completed(name) if takes_value else None
        yield Option((f"--{name}",), text, takes, name in COMPLETIONS.multiUse)


def _completed(name: str) -> Takes:
    """As Twisted's own completion for zsh does it, and where that has no way to say it, better."""
    if name == "sockopt":
        return Takes(Kind.ASSIGNMENT, "NAME=VALUE")
    completer = COMPLETIONS.optActions[name]
    if isinstance(completer, usage.CompleteList):
        return Takes(Kind.WORDS, name, tuple(completer._items))
    kinds: dict[type, Kind] = {usage.CompleteFiles: Kind.FILE, usage.CompleteGroups: Kind.GROUP}
    return Takes(kinds.get(type(completer), Kind.TEXT), name)
