"""Implement `echotime sockopts`: list socket options with their values, and try values on new sockets."""

from __future__ import annotations

import argparse
import itertools
import platform
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from echotime.cli import arguments, option_report
from echotime.cli.option_report import describe_option, has_trial, option_json, python_name
from echotime.cli.output.streams import print_error, print_lines
from echotime.client.exit_status import ExitStatus
from echotime.control.daemon_text import translate_value
from echotime.demos.index import DEMONSTRATIONS
from echotime.i18n.language import gettext as _
from echotime.sockopt import assignment
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import BY_KEY, CATALOGUE, CHAPTERS
from echotime.sockopt.option import Option, SocketRole
from echotime.sockopt.trial import current_values, try_option
from echotime.terminal.columns import Heading, Table, fit, terminal_width
from echotime.wire.escape import display_width
from echotime.wire.json_line import format_json

_VALUE_WIDTH = 13
_NAME_WIDTH = 20
_LEVEL_WIDTH = 17
_SET_WIDTH = 5
_MEANING_WIDTH = 100


def add_parser(commands: Any) -> None:
    """Add the parser of this subcommand."""
    parser = commands.add_parser(
        "sockopts",
        help=_("list socket options, and try values on new sockets"),
        description=_(
            "Without NAME, list all socket options known by name, with their values on a new TCP listener, on a "
            "connection that it accepted, and on a UDP socket. With NAME, describe these options. With --set, try "
            "values on new sockets on loopback, and show the effective values."
        ),
        epilog=_("Example: echotime sockopts --set SO_RCVBUF=64K"),
    )
    parser.add_argument(
        "options",
        metavar="NAME",
        type=arguments.argparse_type(assignment.lookup),
        nargs="*",
        help=_("a socket option by name, as in SO_KEEPALIVE, or by number, as in 1:9"),
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        type=arguments.argparse_type(assignment.parse),
        action="append",
        default=[],
        dest="requested",
        help=_("try a value, and show the requested, effective and inherited values; repeatable"),
    )
    parser.add_argument("--tcp", action="store_true", help=_("show only options for TCP sockets"))
    parser.add_argument("--udp", action="store_true", help=_("show only options for UDP sockets"))
    parser.add_argument("--settable", action="store_true", help=_("show only options that can be set"))
    parser.add_argument(
        "--differs",
        action="store_true",
        help=_(
            "show only options that the kernel alters or that connections do not inherit; without --set, try every "
            "option with an example"
        ),
    )
    parser.add_argument("--json", action="store_true", help=_("print JSON"))
    parser.set_defaults(run=run, usage_error=parser.error)


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""
    if args.requested and args.options:
        args.usage_error(_("NAME cannot be combined with --set NAME=VALUE"))
    if args.requested or args.differs:
        return _try_values(args)
    selected = [option for option in args.options or CATALOGUE if _matches(args, option)]
    if not selected:
        print_error(_("echotime: no such option matches --tcp, --udp or --settable"))
        return ExitStatus.OK
    values = {option: current_values(option) for option in selected}
    if args.json:
        print_lines(format_json([option_json(option, values[option]) for option in selected], indent=1).splitlines())
    elif args.options:
        blocks = [[*_describe(option, values[option]), ""] for option in selected]
        print_lines(list(itertools.chain(*blocks))[:-1])
    else:
        print_lines(_table_lines(args, values))
    return ExitStatus.OK


def _describe(option: Option, values: Mapping[SocketRole, str]) -> Iterator[str]:
    yield from describe_option(option, values)
    if option.name in DEMONSTRATIONS:
        yield from fit(_("Demonstration: echotime explain {name}").format(name=option.name))
    elif has_trial(option):
        yield from fit(_("Trial of the example: echotime explain {name}").format(name=option.name))


def _matches(args: argparse.Namespace, option: Option) -> bool:
    transports = {role.transport for role in option.roles} if not option.settable else set(option.transports)
    requested = {name for name in ("tcp", "udp") if getattr(args, name)}
    return (not requested or bool(requested & transports)) and (option.settable or not args.settable)


def _table_lines(args: argparse.Namespace, values: Mapping[Option, Mapping[SocketRole, str]]) -> Iterator[str]:
    roles = [role for role in SocketRole if args.tcp is args.udp or getattr(args, role.transport)]
    titles = [_("NAME"), _("LEVEL"), *[_(role.value) for role in roles], _("SET"), _("MEANING")]
    least = [_NAME_WIDTH, _LEVEL_WIDTH, *[_VALUE_WIDTH for _role in roles], _SET_WIDTH, _MEANING_WIDTH]
    # a translated title may be wider than the English one
    widths = [max(width, display_width(title) + 1) for width, title in zip(least, titles, strict=True)]
    table = Table(widths, terminal_width())
    yield from table.heading(titles)
    for chapter in CHAPTERS:
        rows = [option for option in chapter.rows if option in values]
        if rows:
            yield from ("", Heading(_(chapter.title)))
        for option in rows:
            cells = [translate_value(option.name, _truncate(values[option].get(role, "-"))) for role in roles]
            settable = _("yes") if option.settable else _("no")
            yield from table.row([option.name, f"{option.level} {option.number}", *cells, settable, _(option.meaning)])
    yield ""
    for line in _python_lines():
        yield from fit(line)


def _truncate(value: str) -> str:
    """Shorten a value to the width of its column."""
    first = value.partition(",")[0]
    return value if len(value) < _VALUE_WIDTH else f"{first[: _VALUE_WIDTH - 2]}\N{HORIZONTAL ELLIPSIS}"


def _python_lines() -> Iterator[str]:
    """Yield which options this Python has names for, as in the original script."""
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
        names = _(", ").join(f"{name} {socket.SOL_SOCKET}:{number}" for name, number in others.items())
        yield _("It has names for other options, which can be set by number only: {names}").format(names=names)


def _try_values(args: argparse.Namespace) -> int:
    assignments = args.requested or [
        assignment.example(option)
        for option in args.options or CATALOGUE
        if option.settable and option.known and _matches(args, option)
    ]
    trials = [(requested, try_option(_restrict_transport(args, requested))) for requested in assignments]
    if args.differs:
        trials = [(requested, results) for requested, results in trials if any(each.differs for each in results)]
    if args.json:
        report = [option_report.trial_json(requested, results) for requested, results in trials]
        print_lines(format_json(report, indent=1).splitlines())
    else:
        for requested, results in trials:
            print_lines(option_report.trial_lines(requested, results))
            for warning in option_report.startup_warnings(requested, results) if args.requested else ():
                print_error(warning)
    failed = any(option_report.trial_failed(requested, results) for requested, results in trials)
    return ExitStatus.FAILED if failed else ExitStatus.OK


def _restrict_transport(args: argparse.Namespace, requested: Assignment) -> Assignment:
    """Restrict the trial to one transport if --tcp or --udp is given."""
    if requested.transport or args.tcp is args.udp:
        return requested
    return replace(requested, transport="tcp" if args.tcp else "udp")
