"""`echotime control`: the operator's desk of a running daemon, at a prompt or with one command."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

from echotime.cli import arguments
from echotime.cli.control.connection import ControlConnection, ControlConnectionLost
from echotime.cli.control.prompt import Prompt, Screen
from echotime.cli.control.verbs import COMMANDS, CommandSyntaxError, ControlSession
from echotime.cli.output.stderr import print_error
from echotime.client.exit_status import ExitStatus
from echotime.control.commands import CommandError
from echotime.i18n.language import gettext as _
from echotime.wire import parsers

_DEFAULT_SOCKET = "/run/echotime/control"


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    usage = "\n".join(f"  {name} {each.usage}".ljust(48) + _(each.help) for name, each in COMMANDS.items())
    parser = commands.add_parser(
        "control",
        help=_("answer questions and look after a running daemon"),
        description=_(
            "Talk to a daemon that was started with --control. Without COMMAND there is a prompt, where help lists the "
            "commands; with one it is carried out."
        ),
        epilog=_("Example: echotime control answer next ok")
        + "\n\n"
        + _("commands:")
        + "\n"
        + usage
        + "\n  watch".ljust(49)
        + _("show what happens; what is typed answers the oldest question"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--socket",
        metavar="PATH",
        default=os.environ.get("ECHOTIME_CONTROL") or _DEFAULT_SOCKET,
        help=_("the daemon's control socket (default: $ECHOTIME_CONTROL, or {path})").format(path=_DEFAULT_SOCKET),
    )
    parser.add_argument("--json", action="store_true", help=_("for programs"))
    parser.add_argument(
        "--raw", action="store_true", help=_(r"in words \n \t \xNN are understood, and control characters allowed")
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        type=arguments.argparse_type(parsers.encoding),
        help=_("of words and of what is shown (default: the daemon's)"),
    )
    parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help=_("what to do"))
    parser.set_defaults(run_without_reactor=run, usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Carry it out, without a reactor; the exit status."""
    _extract_flags(args)
    # at the prompt Ctrl-C gives up a line, and not the program
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # events are shown by a thread, which could not arrange this when nobody reads them any more
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    screen = Screen()
    prompt: Prompt | None = None

    def on_event(command: Any, event: dict[str, Any]) -> None:
        if prompt is not None:
            prompt.on_event(command, event)

    try:
        connection = ControlConnection(args.socket, on_event, lambda: os.kill(os.getpid(), signal.SIGINT))
    except OSError as error:
        print_error(_("echotime: {path}: {reason}").format(path=args.socket, reason=error.strerror or error))
        if not Path(args.socket).exists():
            print_error(_("echotime: is a daemon running with --control, and --socket its path?"))
        return ExitStatus.REFUSED
    try:
        session = ControlSession(
            connection, as_json=args.json, raw=args.raw, encoding=args.encoding, write_line=screen.show
        )
        prompt = Prompt(session, screen)
        return _execute(args, prompt)
    except ControlConnectionLost:
        print_error(_("echotime: {path}: the daemon is gone, or does not answer").format(path=args.socket))
        return ExitStatus.RESET
    except KeyboardInterrupt:
        if connection.closed.is_set():
            print_error(_("echotime: {path}: the daemon is gone, or does not answer").format(path=args.socket))
            return ExitStatus.RESET
        return 128 + signal.SIGINT
    finally:
        connection.close()


def _extract_flags(args: argparse.Namespace) -> None:
    """--json and --raw may follow the command, too; in a word to be sent they are text."""
    is_answer = args.command and "answer".startswith(args.command[0])
    searched = args.command[:2] if is_answer else args.command
    for flag in ("json", "raw"):
        if f"--{flag}" in searched:
            args.command.remove(f"--{flag}")
            setattr(args, flag, True)


def _execute(args: argparse.Namespace, prompt: Prompt) -> int:
    if not args.command:
        return prompt.run()
    try:
        prompt.run_command(args.command)
    except CommandSyntaxError as fault:
        args.usage_error(str(fault))
    except CommandError as refused:
        print_error(f"echotime: {refused}")
        return ExitStatus.FAILED
    return ExitStatus.OK
