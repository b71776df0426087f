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

from echotime.cli import arguments, trial_report
from echotime.cli.describe_option import describe_option, option_json, python_name
from echotime.cli.output.columns import pad
from echotime.cli.output.stderr import print_error
from echotime.client.exit_status import ExitStatus
from echotime.demos.index import DEMONSTRATIONS
from echotime.i18n.language import gettext as _
from echotime.sockopt import assignment
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import BY_KEY, CATALOGUE, CHAPTERS
from echotime.sockopt.option import Option, SocketRole
from echotime.sockopt.trial import current_values, try_option

_VALUE_WIDTH = 14
_NAME_WIDTH = 20
_LEVEL_WIDTH = 17
_SET_WIDTH = 5


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
        type=arguments.argparse_type(assignment.lookup),
        nargs="*",
        help=_("an option by name, as in SO_KEEPALIVE, or by number, as in 1:9"),
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        type=arguments.argparse_type(assignment.parse),
        action="append",
        default=[],
        dest="requested",
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
    if args.requested and args.options:
        args.usage_error(_("NAME and --set do not go together: --set has the name already"))
    if args.requested or args.differs:
        return _try_values(args)
    selected = [option for option in args.options or CATALOGUE if _matches(args, option)]
    if not selected:
        print_error(_("echotime: none of these fits --tcp, --udp or --settable"))
        return ExitStatus.OK
    values = {option: current_values(option) for option in selected}
    if args.json:
        print(json.dumps([option_json(option, values[option]) for option in selected], indent=1))
    elif args.options:
        print("\n\n".join(_describe(option, values[option]) for option in selected))
    else:
        _print_table(args, values)
    return ExitStatus.OK


def _describe(option: Option, values: Mapping[SocketRole, str]) -> str:
    shown = [_("Shown by: echotime explain {name}").format(name=option.name)] if option.name in DEMONSTRATIONS else []
    return "\n".join([*describe_option(option, values), *shown])


def _matches(args: argparse.Namespace, option: Option) -> bool:
    transports = {place.transport for place in option.roles} if not option.settable else set(option.transports)
    requested = {name for name in ("tcp", "udp") if getattr(args, name)}
    return (not requested or bool(requested & transports)) and (option.settable or not args.settable)


def _print_table(args: argparse.Namespace, values: Mapping[Option, Mapping[SocketRole, str]]) -> None:
    roles = [place for place in SocketRole if args.tcp is args.udp or getattr(args, place.transport)]
    for line in _table_lines(roles, values):
        print(line.rstrip())


def _table_lines(roles: Iterable[SocketRole], values: Mapping[Option, Mapping[SocketRole, str]]) -> Iterator[str]:
    yield _format_row(_("NAME"), _("LEVEL"), [_(place.value) for place in roles], _("SET"), _("MEANING"))
    for chapter in CHAPTERS:
        rows = [option for option in chapter.rows if option in values]
        if rows:
            yield f"\n{_(chapter.title)}"
        for option in rows:
            cells = [_truncate(values[option].get(place, "-")) for place in roles]
            settable = _("yes") if option.settable else _("no")
            yield _format_row(option.name, f"{option.level} {option.number}", cells, settable, _(option.meaning))
    yield ""
    yield from _python_lines()


def _format_row(name: str, level: str, cells: Iterable[str], settable: str, meaning: str) -> str:
    shown = "".join(pad(cell, _VALUE_WIDTH) for cell in cells)
    return f"{pad(name, _NAME_WIDTH)}{pad(level, _LEVEL_WIDTH)}{shown}{pad(settable, _SET_WIDTH)}{meaning}"


def _truncate(value: str) -> str:
    """As much of a value as fits its column."""
    first = value.partition(",")[0]
    return value if len(value) < _VALUE_WIDTH else f"{first[: _VALUE_WIDTH - 3]}\N{HORIZONTAL ELLIPSIS}"


def _python_lines() -> Iterator[str]:
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


def _try_values(args: argparse.Namespace) -> int:
    assignments = args.requested or [
        assignment.example(option) for option in args.options or CATALOGUE if _can_try(args, option)
    ]
    trials = [(requested, try_option(_restrict_transport(args, requested))) for requested in assignments]
    if args.differs:
        trials = [(requested, results) for requested, results in trials if any(each.differs for each in results)]
    if args.json:
        print(json.dumps([trial_report.trial_json(requested, results) for requested, results in trials], indent=1))
    else:
        for requested, results in trials:
            print("\n".join(trial_report.trial_lines(requested, results)))
            for warning in trial_report.startup_warnings(requested, results) if args.requested else ():
                print_error(warning)
    return (
        ExitStatus.FAILED
        if any(trial_report.failed(requested, results) for requested, results in trials)
        else ExitStatus.OK
    )


def _can_try(args: argparse.Namespace, option: Option) -> bool:
    return option.settable and option.known and _matches(args, option)


def _restrict_transport(args: argparse.Namespace, requested: Assignment) -> Assignment:
    """With one of --tcp and --udp it is tried there alone."""
    if requested.transport or args.tcp is args.udp:
        return requested
    return replace(requested, transport="tcp" if args.tcp else "udp")
