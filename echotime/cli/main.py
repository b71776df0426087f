"""Parse the command line of `echotime`, and run its subcommand, in a reactor if it needs one."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from zope.interface import provider

import echotime
from echotime.cli import arguments, check, explain, path, ping, send, sockopts, time
from echotime.cli.control import subcommand as control
from echotime.cli.output.help_formatter import HelpFormatter, mark_headings
from echotime.cli.output.last_handler import exit_with_error, is_check, report
from echotime.cli.output.streams import open_missing_streams, print_error, print_lines
from echotime.cli.proxy_arguments import check_proxy
from echotime.cli.unknown_options import check_command, check_options, describe_unexpected
from echotime.client.exit_status import ExitStatus
from echotime.i18n.language import gettext as _

COMMANDS = (send, time, ping, check, path, sockopts, explain, control)


class _Parser(argparse.ArgumentParser):
    """Print help that fits the terminal, and usage errors with unprintable characters escaped.

    Those of `echotime check` are for monitoring systems. Subcommands have parsers of this class, too.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**{"formatter_class": HelpFormatter, **how})

    def print_help(self, file: Any = None) -> None:
        print_lines(mark_headings(self.format_help()))

    def error(self, message: str) -> NoReturn:
        if is_check():
            status = report(message)
        else:
            text = _("%(prog)s: error: %(message)s\n") % {"prog": self.prog, "message": message}
            print_error(text.removesuffix("\n"))
            status = ExitStatus.USAGE
        print_error(_("try '{command} --help'").format(command=self.prog))
        raise SystemExit(status)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    whole = _Parser(prog="echotime", description=_("Tools for echotime, a TCP echo-with-reply and UDP time server."))
    commands = whole.add_subparsers(metavar=_("COMMAND"), required=True)
    for module in COMMANDS:
        module.add_parser(commands)
    for parser in (whole, *commands.choices.values()):
        parser.add_argument(
            "-V",
            "--version",
            action="version",
            version=f"echotime {echotime.__version__}",
            help=_("show program's version number and exit"),
        )
    return whole


def main() -> None:
    """Run the command line, and end the process with the subcommand's exit status."""
    open_missing_streams()
    try:
        args = _parse(sys.argv[1:])
        if "run_without_reactor" in args:
            raise SystemExit(int(args.run_without_reactor(args)))
        _run(args)
    finally:
        # an error is reported here: at the exit Python would print a traceback
        sys.stdout.flush()


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    whole = build_parser()
    (commands,) = (each for each in whole._actions if isinstance(each, argparse._SubParsersAction))
    if argv and not argv[0].startswith("-"):
        check_command(whole, argv[0], commands.choices)
        check_options(commands.choices[argv[0]], argv[1:])
    args, rest = whole.parse_known_args(argv)
    rest = [each for each in _take_message(args, rest) if each != "--"]
    if rest:
        args.usage_error(describe_unexpected(args, rest[0]))
    if "transports" in args:
        arguments.check_sockopt(args)
    if "family" in args:
        arguments.check_family(args)
    if "proxy_protocol" in args:
        check_proxy(args)
    return args


def _take_message(args: argparse.Namespace, rest: list[str]) -> list[str]:
    """Use the first of the remaining arguments as MESSAGE if there is none yet, and return the others.

    argparse leaves an optional argument out if an option stands before it, as in `send HOST -q MESSAGE`.
    """
    is_text = rest[:1] == ["--"]
    words = rest[is_text:]
    if not words or getattr(args, "message", "") is not None or (words[0].startswith("-") and not is_text):
        return rest
    args.message, *others = words
    return others


def _run(args: argparse.Namespace) -> None:
    from twisted.internet.task import react

    async def run_and_exit(reactor: Any) -> None:
        await _when_running(reactor)
        # signals end the process, as with curl and nc; `ping` handles them to print its summary
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        try:
            status = await args.run(reactor, args)
        except Exception as error:  # react would print a traceback
            exit_with_error(error)
        raise SystemExit(int(status))

    globalLogBeginner.beginLoggingTo([_exit_on_logged_error], redirectStandardIO=False, discardBuffer=True)
    react(run_and_exit)


@provider(ILogObserver)
def _exit_on_logged_error(event: LogEvent) -> None:
    """End the program at an exception that Twisted caught and logged: what was awaited may never happen."""
    if "log_failure" in event:
        exit_with_error(event["log_failure"].value)
    if event.get("log_level") is LogLevel.critical:
        exit_with_error(RuntimeError(formatEvent(event)))


def _when_running(reactor: Any) -> Deferred[None]:
    """Return a Deferred that fires when the reactor has installed its signal handlers and opened their descriptors."""
    running: Deferred[None] = Deferred()
    reactor.callWhenRunning(running.callback, None)
    return running
