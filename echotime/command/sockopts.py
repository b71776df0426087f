"""`echotime sockopts`: which socket options there are, what they are now, and what the kernel makes of a value."""

from __future__ import annotations

import argparse
import json
import platform
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from echotime.clients.status import Status
from echotime.command import arguments, option_trial
from echotime.command.columns import padded
from echotime.command.option_facts import facts, python_name, record
from echotime.command.report import say
from echotime.demonstrations.index import DEMONSTRATIONS
from echotime.locale.language import gettext as _
from echotime.sockopt import assignment
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue import BY_KEY, CATALOGUE, CHAPTERS
from echotime.sockopt.option import Option, Place
from echotime.sockopt.trial import outcomes, shown_values

_WIDE = 14
_NAME = 20
_LEVEL = 17
_SET = 5


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "sockopts",
        help=_("list socket options, and try values on sockets of one's own"),
        description=_(
            "Without NAME a table of all socket options known by name, with what each is on a new TCP listener, on a "
            "connection that it accepted, and on a UDP socket. With NAME all about some. With --set what the kernel "
            "makes of values: each is tried on new sockets on loopback."
        ),
        epilog=_("Example: echotime sockopts --set SO_RCVBUF=64K"),
    )
    parser.add_argument(
        "options",
        metavar="NAME",
        type=arguments.coerced(assignment.named),
        nargs="*",
        help=_("an option by name, as in SO_KEEPALIVE, or by number, as in 1:9"),
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        type=arguments.coerced(assignment.parse),
        action="append",
        default=[],
        dest="asked",
        help=_("try a value, and show asked, effective and inherited; repeatable"),
    )
    parser.add_argument("--tcp", action="store_true", help=_("only options that act on TCP sockets"))
    parser.add_argument("--udp", action="store_true", help=_("only options that act on UDP sockets"))
    parser.add_argument("--settable", action="store_true", help=_("only options that can be set"))
    parser.add_argument(
        "--differs",
        action="store_true",
        help=_(
            "only where the kernel does something else than was asked, or a connection does not inherit it; "
            "without --set every option is tried with an example"
        ),
    )
    parser.add_argument("--json", action="store_true", help=_("for programs"))
    parser.set_defaults(run=run, usage_error=parser.error)


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    if args.asked and args.options:
        args.usage_error(_("NAME and --set do not go together: --set has the name already"))
    if args.asked or args.differs:
        return _try(args)
    chosen = [option for option in args.options or CATALOGUE if _wanted(args, option)]
    if not chosen:
        say(_("echotime: none of these fits --tcp, --udp or --settable"))
        return Status.OK
    values = {option: shown_values(option) for option in chosen}
    if args.json:
        print(json.dumps([record(option, values[option]) for option in chosen], indent=1))
    elif args.options:
        print("\n\n".join(_all_about(option, values[option]) for option in chosen))
    else:
        _table(args, values)
    return Status.OK


def _all_about(option: Option, values: Mapping[Place, str]) -> str:
    shown = [_("Shown by: echotime explain {name}").format(name=option.name)] if option.name in DEMONSTRATIONS else []
    return "\n".join([*facts(option, values), *shown])


def _wanted(args: argparse.Namespace, option: Option) -> bool:
    transports = {place.transport for place in option.places} if not option.settable else set(option.transports)
    asked = {name for name in ("tcp", "udp") if getattr(args, name)}
    return (not asked or bool(asked & transports)) and (option.settable or not args.settable)


def _table(args: argparse.Namespace, values: Mapping[Option, Mapping[Place, str]]) -> None:
    places = [place for place in Place if args.tcp is args.udp or getattr(args, place.transport)]
    for line in _lines(places, values):
        print(line.rstrip())


def _lines(places: Iterable[Place], values: Mapping[Option, Mapping[Place, str]]) -> Iterator[str]:
    yield _row(_("NAME"), _("LEVEL"), [_(place.value) for place in places], _("SET"), _("MEANING"))
    for chapter in CHAPTERS:
        rows = [option for option in chapter.rows if option in values]
        if rows:
            yield f"\n{_(chapter.title)}"
        for option in rows:
            cells = [_brief(values[option].get(place, "-")) for place in places]
            settable = _("yes") if option.settable else _("no")
            yield _row(option.name, f"{option.level} {option.number}", cells, settable, _(option.meaning))
    yield ""
    yield from _python()


def _row(name: str, level: str, cells: Iterable[str], settable: str, meaning: str) -> str:
    shown = "".join(padded(cell, _WIDE) for cell in cells)
    return f"{padded(name, _NAME)}{padded(level, _LEVEL)}{shown}{padded(settable, _SET)}{meaning}"


def _brief(value: str) -> str:
    """As much of a value as fits its column."""
    first = value.partition(",")[0]
    return value if len(value) < _WIDE else f"{first[: _WIDE - 3]}\N{HORIZONTAL ELLIPSIS}"


def _python() -> Iterator[str]:
    """Which of the options this system's Python knows, as the seed asks."""
    known = sum(1 for option in CATALOGUE if python_name(option))
    yield _("Python {version} has names for {known} of these {all}.").format(
        version=platform.python_version(), known=known, all=len(CATALOGUE)
    )
    others = {
        name: getattr(socket, name)
        for name in sorted(dir(socket))
        if re.fullmatch(r"SO_(?!VM_)[A-Z_]+", name) and (socket.SOL_SOCKET, getattr(socket, name)) not in BY_KEY
    }
    if others:
        names = ", ".join(f"{name} {socket.SOL_SOCKET}:{number}" for name, number in others.items())
        yield _("It names others, which are set by number only: {names}").format(names=names)


def _try(args: argparse.Namespace) -> int:
    given = args.asked or [assignment.example(option) for option in args.options or CATALOGUE if _may_try(args, option)]
    tried = [(asked, outcomes(_where_wanted(args, asked))) for asked in given]
    if args.differs:
        tried = [(asked, found) for asked, found in tried if any(each.differs for each in found)]
    if args.json:
        print(json.dumps([option_trial.record(asked, found) for asked, found in tried], indent=1))
    else:
        for asked, found in tried:
            print("\n".join(option_trial.lines(asked, found)))
            for warning in option_trial.warnings(asked, found) if args.asked else ():
                say(warning)
    return Status.FAILED if any(option_trial.failed(asked, found) for asked, found in tried) else Status.OK


def _may_try(args: argparse.Namespace, option: Option) -> bool:
    return option.settable and option.known and _wanted(args, option)


def _where_wanted(args: argparse.Namespace, asked: Assignment) -> Assignment:
    """With one of --tcp and --udp it is tried there alone."""
    if asked.transport or args.tcp is args.udp:
        return asked
    return replace(asked, transport="tcp" if args.tcp else "udp")
