"""Implement `echotime path`: find out what the path to a server does to connections and datagrams."""

from __future__ import annotations

import argparse
import signal
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from echotime.cli import arguments
from echotime.cli.output.last_handler import exit_with_error
from echotime.cli.output.path_report import path_json, path_lines
from echotime.cli.output.progress import Progress, add_progress
from echotime.cli.output.streams import print_lines, report_error
from echotime.client.connect import ConnectedProtocol, connect
from echotime.client.deadline import Deadline
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress, resolve
from echotime.client.path.session import PathSession
from echotime.i18n.language import gettext as _
from echotime.wire.json_line import format_json

_CONNECT_SECONDS = 30.0
"""Limit of the name lookup and of choosing an address, together."""
_IDLE_LIMIT = 5.0


def add_parser(commands: Any) -> None:
    """Add the parser of this subcommand."""
    parser = commands.add_parser(
        "path",
        help=_("find out what the path to a server does to connections and datagrams"),
        description=_(
            "Find out what proxies, load balancers, NATs and firewalls between this host and an echo server do to "
            "connections and datagrams. Most tests need an echotime with --behave ADDRESS=client at the far end. The "
            "exit status is 1 if something was found."
        ),
        epilog=_("Example: echotime path --idle-limit 1 127.0.0.1:12345"),
    )
    arguments.add_server(parser)
    parser.add_argument(
        "--idle-limit",
        **arguments.TIME,
        default=_IDLE_LIMIT,
        help=_("how long connections are left idle, while the other tests run (default: 5)"),
    )
    parser.add_argument("--json", action="store_true", help=_("print JSON"))
    add_progress(parser)
    parser.set_defaults(run=run, usage_error=parser.error)


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""
    started_at = reactor.seconds()
    try:
        address = await _choose_address(reactor, args)
    except ClientError as failed:
        return report_error(args.server, failed)
    session = PathSession(reactor, address, args.idle_limit)
    progress = Progress(
        reactor,
        not args.no_progress,
        lambda seconds: _("{ended} of {all} tests, {seconds:.0f} s").format(
            ended=len(session.results), all=session.count, seconds=seconds
        ),
    )
    running = Deferred.fromCoroutine(session.run())
    signals: set[int] = set()

    def on_sigint(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signals.add(number)
        reactor.callFromThread(running.cancel)

    signal.signal(signal.SIGINT, on_sigint)
    try:
        await running
    except CancelledError:
        session.interrupt()
    finally:
        progress.stop()
    seconds = reactor.seconds() - started_at
    values = path_json(args.server, address, session, seconds, interrupted=bool(signals))
    print_lines([format_json(values)] if args.json else path_lines(values))
    if signals:
        exit_with_error(KeyboardInterrupt())
    if session.error is not None:
        return report_error(args.server, session.error)
    return ExitStatus.FAILED if values["findings"] else ExitStatus.OK


async def _choose_address(reactor: Any, args: argparse.Namespace) -> ResolvedAddress:
    """Return the address of the server that accepts first, the first one if none does. Raises ClientError."""
    deadline = Deadline(reactor, _CONNECT_SECONDS)
    addresses = await resolve(args.server, deadline, args.family)
    try:
        client = await connect(reactor, addresses, ConnectedProtocol, (), deadline)
    except ClientError:
        return addresses[0]  # the session fails there, too, and tests UDP
    assert client.transport is not None
    client.transport.loseConnection()
    return client.address
