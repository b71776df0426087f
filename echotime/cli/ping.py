"""Implement `echotime ping`: probe a server repeatedly, and print statistics, as ping(8) does."""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Sequence
from typing import Any

from echotime.cli import arguments
from echotime.cli.output.streams import describe_error, print_line, print_lines, print_text, report_error
from echotime.client.connect import ConnectedProtocol, connect
from echotime.client.deadline import Deadline
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress, resolve
from echotime.client.ping import PingSession, Prober, ReplyKind, Summary
from echotime.client.probers import ConnectProber, TcpProber, UdpProber
from echotime.client.stats import compute_stats, format_stats, histogram
from echotime.client.time import TimeClient
from echotime.i18n.language import gettext as _
from echotime.terminal.columns import terminal_width


def add_parser(commands: Any) -> None:
    """Add the parser of this subcommand."""
    parser = commands.add_parser(
        "ping",
        help=_("probe a server repeatedly"),
        description=_(
            "Send a probe each second, print a line for each answer, and print a summary at the end or at Ctrl-C. "
            "The exit status is 0 if there was an answer, and 1 if there was none."
        ),
        epilog=_("Example: echotime ping -c 5 --histogram 127.0.0.1:12345"),
    )
    arguments.add_server(parser)
    way = parser.add_mutually_exclusive_group()
    for name, text in (
        ("tcp", _("send all probes over one TCP connection (the default)")),
        ("connect", _("make a TCP connection for each probe")),
        ("udp", _("send UDP time requests")),
    ):
        way.add_argument(f"--{name}", dest="way", action="store_const", const=name, help=text)
    parser.add_argument("-c", "--count", **arguments.COUNT, help=_("stop after N probes"))
    parser.add_argument(
        "-i", "--interval", **arguments.TIME, default=1, help=_("interval between probes (default: %(default)s)")
    )
    parser.add_argument("-w", "--deadline", **arguments.TIME, help=_("stop after this time"))
    parser.add_argument(
        "-W",
        "--timeout",
        **arguments.TIME,
        default=2,
        help=_("time after which a probe counts as lost (default: %(default)s)"),
    )
    parser.add_argument("-q", "--quiet", action="store_true", help=_("print only the summary"))
    parser.add_argument("--histogram", action="store_true", help=_("draw a histogram of the round trips"))
    parser.add_argument("--json", action="store_true", help=_("print only the summary, as JSON"))
    arguments.add_sockopt(parser)
    parser.set_defaults(
        run=run, way="tcp", usage_error=parser.error, transports=lambda args: ["udp" if args.way == "udp" else "tcp"]
    )


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""
    deadline = Deadline(reactor, args.deadline)
    try:
        addresses = await resolve(args.server.host, args.server.port, deadline)
    except ClientError as failed:
        return report_error(args.server, failed)
    address = addresses[0]
    if len(addresses) > 1:
        address = await _first_responding(reactor, args, addresses, deadline.within(args.timeout))
    printer = _PingPrinter(args, address)
    session = PingSession(reactor, printer, count=args.count, interval=args.interval, timeout=args.timeout)

    def prober(session: PingSession) -> Prober:
        if args.way == "udp":
            return UdpProber(session, reactor, address, args.sockopt)
        make = TcpProber if args.way == "tcp" else ConnectProber
        return make(session, reactor, address, args.sockopt, args.timeout)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: reactor.callFromThread(session.stop))
    summary = await session.start(prober, deadline.remaining)
    _print_summary(args, summary)
    return ExitStatus.OK if summary.received else ExitStatus.FAILED


async def _first_responding(
    reactor: Any, args: argparse.Namespace, addresses: Sequence[ResolvedAddress], deadline: Deadline
) -> ResolvedAddress:
    """Return the address that responds or accepts first, or the first one if none does."""
    try:
        if args.way == "udp":
            address, _response = await TimeClient(reactor, addresses, 1, args.timeout, args.sockopt).query(deadline)
            return address
        client = await connect(reactor, addresses, ConnectedProtocol, args.sockopt, deadline)
    except ClientError:
        return addresses[0]
    assert client.transport is not None
    client.transport.loseConnection()
    return client.address


class _PingPrinter:
    """Print a line for each event, unless --quiet or --json is given."""

    def __init__(self, args: argparse.Namespace, address: ResolvedAddress) -> None:
        self._server = f"{args.server}" if address.host == args.server.host else f"{args.server} ({address.host})"
        self._is_enabled = not (args.quiet or args.json)
        self._marks = {
            ReplyKind.REPLY: "",
            ReplyKind.DUPLICATE: _(" (duplicate)"),
            ReplyKind.LATE: _(" (late)"),
            ReplyKind.WRONG: _(" (wrong)"),
        }

    def reply_received(self, sequence: int, kind: ReplyKind, seconds: float, detail: str) -> None:
        text = _("from {server}: seq={sequence} time={ms:.3f} ms{mark}").format(
            server=self._server, sequence=sequence, ms=seconds * 1000, mark=self._marks[kind]
        )
        self._print(f"{text} {detail}".rstrip())

    def probe_failed(self, sequence: int, error: ClientError) -> None:
        self._print(
            _("{server}: seq={sequence}: {reason}").format(
                server=self._server, sequence=sequence, reason=describe_error(error)
            )
        )

    def probe_lost(self, sequence: int) -> None:
        self._print(_("{server}: seq={sequence}: no answer").format(server=self._server, sequence=sequence))

    def connection_lost(self, error: ClientError | None) -> None:
        if error is None:
            self._print(_("{server}: the server closed the connection").format(server=self._server))
        else:
            self._print(_("{server}: {reason}").format(server=self._server, reason=describe_error(error)))

    def _print(self, line: str) -> None:
        if self._is_enabled:
            print_line(line)


def _print_summary(args: argparse.Namespace, summary: Summary) -> None:
    if args.json:
        print_line(json.dumps(_summary_json(args, summary)))
        return
    print_text(_("--- {server} echotime ping statistics ---").format(server=args.server))
    print_text(
        _("probes: {sent}, answers: {received}, loss: {loss:.1f}%, time {seconds:.1f} s").format(
            sent=summary.sent, received=summary.received, loss=summary.loss, seconds=summary.seconds
        )
    )
    if summary.duplicates or summary.late or summary.wrong or summary.errors:
        print_text(
            _("duplicates: {duplicates}, late: {late}, wrong: {wrong}, errors: {errors}").format(
                duplicates=summary.duplicates, late=summary.late, wrong=summary.wrong, errors=summary.errors
            )
        )
    if summary.times:
        print_text(format_stats(summary.times))
        if args.histogram:
            print_lines(histogram(summary.times, width=terminal_width()))


def _summary_json(args: argparse.Namespace, summary: Summary) -> dict[str, Any]:
    """Return the summary for --json. The keys are public, so independent of the attribute names."""
    result: dict[str, Any] = {
        "server": str(args.server),
        "way": args.way,
        "loss_percent": summary.loss,
        "sent": summary.sent,
        "received": summary.received,
        "duplicates": summary.duplicates,
        "late": summary.late,
        "wrong": summary.wrong,
        "errors": summary.errors,
        "seconds": summary.seconds,
    }
    if summary.times:
        stats = compute_stats(summary.times)
        result["round_trip_ms"] = {
            "min": stats.min,
            "avg": stats.avg,
            "max": stats.max,
            "mdev": stats.mdev,
            "p50": stats.p50,
            "p99": stats.p99,
        }
    return result
