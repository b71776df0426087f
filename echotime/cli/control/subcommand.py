"""Parse the command line of `echotime control`, and run one command or the prompt."""

from __future__ import annotations

import argparse
import errno
import itertools
import os
import signal
from pathlib import Path
from typing import Any

from echotime.cli import arguments
from echotime.cli.control.connection import ControlConnection, ControlConnectionLost, ControlProtocolError
from echotime.cli.control.prompt import Prompt
from echotime.cli.control.screen import Screen
from echotime.cli.control.verbs import (
    COMMANDS,
    HELP_WIDTH,
    USAGE_WIDTH,
    CommandSyntaxError,
    ControlSession,
)
from echotime.cli.control.watch import WATCH_HELP, WATCH_USAGE
from echotime.cli.output.streams import print_error
from echotime.client.exit_status import ExitStatus
from echotime.control.commands import CommandError, InvalidArgument
from echotime.i18n.language import gettext as _
from echotime.terminal.columns import Table, help_width
from echotime.wire import parsers

_DEFAULT_SOCKET = "/run/echotime/control"


def add_parser(commands: Any) -> None:
    """Add the parser of this subcommand."""
    usages = [(f"{name} {each.usage}", each.help) for name, each in COMMANDS.items()]
    table = Table([2 + USAGE_WIDTH, HELP_WIDTH], help_width())
    rows = ([f"  {usage}", _(text)] for usage, text in [*usages, (f"watch {WATCH_USAGE}", WATCH_HELP)])
    lines = itertools.chain(*map(table.row, rows))
    parser = commands.add_parser(
        "control",
        help=_("answer questions of a running daemon, and inspect it"),
        description=_(
            "Control a daemon that was started with --control. With COMMAND, run it once. Without COMMAND, start a "
            "prompt, where help lists the commands."
        ),
        epilog="\n".join([_("Example: echotime control status"), "", _("commands:"), *lines]),
    )
    parser.add_argument(
        "-s",
        "--socket",
        metavar="PATH",
        default=os.environ.get("ECHOTIME_CONTROL") or _DEFAULT_SOCKET,
        help=_("control socket of the daemon (default: $ECHOTIME_CONTROL, or {path})").format(path=_DEFAULT_SOCKET),
    )
    parser.add_argument("--json", action="store_true", help=_("print JSON"))
    parser.add_argument(
        "--raw", action="store_true", help=_(r"allow control characters in replies, and the escapes \n \t \xNN")
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        type=arguments.argparse_type(parsers.encoding),
        help=_("encoding of replies and of the output (default: the daemon's)"),
    )
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help=_("command to run"))
    parser.set_defaults(run_without_reactor=run, usage_error=parser.error, parse_options=parser.parse_known_args)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand without a reactor, and return its exit status."""
    _take_options(args)
    # a thread prints events, and a thread cannot change the handler when the output is closed
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        connection = ControlConnection(args.socket)
    except OSError as error:
        return _report_unreachable(args.socket, error)
    screen = Screen()
    signal.signal(signal.SIGINT, screen.on_sigint)
    connection.on_lost = screen.connection_lost
    try:
        session = ControlSession(connection, args.json, args.raw, args.encoding or "", screen.show)
        return _execute(args, Prompt(session, screen))
    except CommandError as refused:
        print_error(f"echotime: {refused}")
        return ExitStatus.FAILED
    except (ControlConnectionLost, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) and not connection.closed.is_set():
            return 128 + signal.SIGINT
        return _report_lost(args, connection, error)
    finally:
        connection.close()


def _report_unreachable(path: str, error: OSError) -> int:
    """Print why there is no connection, and return the exit status."""
    if isinstance(error, BlockingIOError):  # the accept queue is full
        return _report_silent(path)
    if error.errno == errno.EPROTOTYPE or (isinstance(error, ConnectionRefusedError) and not Path(path).is_socket()):
        return _report_other(path)
    print_error(_("echotime: {path}: {reason}").format(path=path, reason=_(error.strerror or str(error))))
    if isinstance(error, PermissionError):
        print_error(_("echotime: the socket serves root and the daemon's user; see --control-group"))
        return ExitStatus.FAILED
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        print_error(_("echotime: start the daemon with --control PATH, and give the same path to --socket"))
    return ExitStatus.REFUSED


def _report_other(path: str) -> int:
    print_error(_("echotime: {path}: not the control socket of a daemon").format(path=path))
    return ExitStatus.FAILED


def _report_silent(path: str) -> int:
    print_error(_("echotime: {path}: the daemon ended, or does not respond").format(path=path))
    return ExitStatus.RESET


def _report_lost(args: argparse.Namespace, connection: ControlConnection, error: BaseException) -> int:
    """Print why the connection ended, and return the exit status."""
    if connection.refusal:
        print_error(_("echotime: {path}: {reason}").format(path=args.socket, reason=connection.refusal))
        return ExitStatus.FAILED
    if isinstance(error, ControlProtocolError) or isinstance(connection.lost(), ControlProtocolError):
        return _report_other(args.socket)
    return _report_silent(args.socket)


def _take_options(args: argparse.Namespace) -> None:
    """Accept options after the command, too, but not within the text of a reply."""
    words, rest = args.command[:1], args.command[1:]
    while rest:
        _known, unknown = args.parse_options(rest, args)
        # argparse leaves what follows the first word as it is
        words += [*unknown, *args.command[:1]]
        rest = args.command[1:]
        if "answer".startswith(words[0]):
            words, rest = words + rest, []
    args.command = words


def _execute(args: argparse.Namespace, prompt: Prompt) -> int:
    if not args.command:
        return prompt.run()
    try:
        prompt.run_command(args.command)
    except (CommandSyntaxError, InvalidArgument) as error:
        args.usage_error(str(error))
    return ExitStatus.OK
