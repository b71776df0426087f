"""Parse the command line of `echotime`, and run its subcommand, in a reactor if it needs one."""

from __future__ import annotations

import argparse
import difflib
import itertools
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from twisted.internet.defer import Deferred

import echotime
from echotime.cli import arguments, check, explain, ping, send, sockopts, time
from echotime.cli.control import subcommand as control
from echotime.cli.output.streams import exit_on_write_error, open_missing_streams, print_error
from echotime.client.exit_status import ExitStatus
from echotime.i18n.language import gettext as _
from echotime.wire.escape import sanitize

COMMANDS = (send, time, ping, check, sockopts, explain, control)


class _Parser(argparse.ArgumentParser):
    """Report usage errors with unprintable characters escaped. Subcommands have parsers of this class, too."""

    def error(self, message: str) -> NoReturn:
        super().error(sanitize(message))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    whole = _Parser(prog="echotime", description=_("Tools for echotime, a TCP echo-with-reply and UDP time server."))
    whole.add_argument(
        "--version",
        action="version",
        version=f"echotime {echotime.__version__}",
        help=_("show program's version number and exit"),
    )
    whole.set_defaults(failed_status=int(ExitStatus.FAILED))
    commands = whole.add_subparsers(metavar=_("COMMAND"), required=True)
    for module in COMMANDS:
        module.add_parser(commands)
    return whole


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line, and end the process with the subcommand's exit status."""
    open_missing_streams()
    try:
        args = _parse(sys.argv[1:] if argv is None else argv)
        if "run_without_reactor" in args:
            raise SystemExit(int(args.run_without_reactor(args)))
        _run(args)
    except OSError as error:
        exit_on_write_error(error)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    try:
        whole = build_parser()
        _suggest_option(whole, argv)
        args = whole.parse_args(argv)
        if "transports" in args:
            arguments.check_sockopt(args)
    except SystemExit as ended:
        if ended.code and argv[:1] == ["check"]:
            # for a monitoring system status 2 means that the server is down
            raise SystemExit(int(check.CheckState.UNKNOWN)) from None
        raise
    return args


def _suggest_option(whole: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Report a misspelled option with a suggestion, before argparse reports other errors."""
    (action,) = (each for each in whole._actions if isinstance(each, argparse._SubParsersAction))
    command = action.choices.get(argv[0]) if argv else None
    if command is None or any(each.nargs == argparse.REMAINDER for each in command._actions):
        return
    known = [name for each in command._actions for name in each.option_strings]
    for argument in itertools.takewhile(lambda each: each != "--", argv[1:]):
        name = argument.partition("=")[0]
        if name.startswith("--") and not any(each.startswith(name) for each in known):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            if near:
                command.error(_("unknown option '{name}'; the nearest is {near}").format(name=name, near=near[0]))


def _run(args: argparse.Namespace) -> None:
    from twisted.internet.task import react

    async def run_and_exit(reactor: Any) -> None:
        await _when_running(reactor)
        # signals end the process, as with curl and nc; `ping` handles them to print its summary
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        try:
            status = await args.run(reactor, args)
            sys.stdout.flush()
        except OSError as error:
            exit_on_write_error(error)
        except Exception as error:  # print one line instead of a traceback
            print_error(f"echotime: {error or type(error).__name__}")
            status = args.failed_status
        raise SystemExit(int(status))

    react(run_and_exit)


def _when_running(reactor: Any) -> Deferred[None]:
    """Return a Deferred that fires when the reactor has installed its signal handlers and opened their descriptors."""
    running: Deferred[None] = Deferred()
    reactor.callWhenRunning(running.callback, None)
    return running
