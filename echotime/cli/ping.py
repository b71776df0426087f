"""`echotime ping`: probe after probe, as ping(8) does, with the summary at the end or at Ctrl-C."""

from __future__ import annotations

import argparse
import json
import signal
import socket
from typing import Any

from echotime.cli import arguments
from echotime.cli.output.stderr import describe_error, report_error
from echotime.cli.output.stdio import print_line
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress, resolve
from echotime.client.ping import PingSession, Prober, ReplyKind, Summary
from echotime.client.probers import ConnectProber, TcpProber, UdpProber
from echotime.client.stats import compute_stats, format_stats, histogram
from echotime.client.time import TimeClient
from echotime.i18n.language import gettext as _
from echotime.wire import parsers


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "ping",
        help=_("probe a server again and again"),
        description=_(
            "Send a probe each second, show a line for each answer, and a summary at the end or at Ctrl-C. "
            "The exit status is 0 if there was an answer, 1 if there was none."
        ),
        epilog=_("Example: echotime ping -c 5 --histogram 127.0.0.1:12345"),
    )
    arguments.add_server(parser)
    way = parser.add_mutually_exclusive_group()
    way.add_argument(
        "--tcp", dest="way", action="store_const", const="tcp", help=_("over one connection (the default)")
    )
    way.add_argument("--connect", dest="way", action="store_const", const="connect", help=_("a connection each"))
    way.add_argument("--udp", dest="way", action="store_const", const="udp", help=_("asking for the time"))
    positive, seconds = (
        arguments.argparse_type(parsers.positive_int),
        arguments.argparse_type(parsers.positive_seconds),
    )
    parser.add_argument("-c", "--count", metavar="N", type=positive, help=_("end after so many probes"))
    parser.add_argument("-i", "--interval", metavar="TIME", type=seconds, default=1.0, help=_("between probes"))
    parser.add_argument("-w", "--deadline", metavar="TIME", type=seconds, help=_("end after so long"))
    parser.add_argument(
        "-W", "--timeout", metavar="TIME", type=seconds, default=2.0, help=_("when an answer counts as lost")
    )
    parser.add_argument("-q", "--quiet", action="store_true", help=_("the summary alone"))
    parser.add_argument("--histogram", action="store_true", help=_("draw how the times are spread"))
    parser.add_argument("--json", action="store_true", help=_("the summary as JSON, and nothing else"))
    arguments.add_sockopt(parser)
    parser.set_defaults(
        run=run,
        way="tcp",
        usage_error=parser.error,
        transports=lambda args: ["udp" if args.way == "udp" else "tcp"],
    )


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    kind = socket.SOCK_DGRAM if args.way == "udp" else socket.SOCK_STREAM
    try:
        addresses = await resolve(args.server.host, args.server.port, kind)
    except ClientError as failed:
        return report_error(args.server, failed)
    address = addresses[0]
    if args.way == "udp" and len(addresses) > 1:
        address = await _first_responding(reactor, args, address)
    lines = _PingPrinter(args)
    session = PingSession(reactor, lines, count=args.count, interval=args.interval, timeout=args.timeout)

    def prober(session: PingSession) -> Prober:
        if args.way == "udp":
            return UdpProber(session, reactor, address, args.sockopt)
        make = TcpProber if args.way == "tcp" else ConnectProber
        return make(session, reactor, args.server.host, args.server.port, args.sockopt, args.timeout)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: reactor.callFromThread(session.stop))
    summary = await session.start(prober, args.deadline)
    _print_summary(args, summary)
    return ExitStatus.OK if summary.received else ExitStatus.FAILED


async def _first_responding(reactor: Any, args: argparse.Namespace, first: ResolvedAddress) -> ResolvedAddress:
    """Of several addresses the one that answers; if none does, the first."""
    try:
        address, _response = await TimeClient(
            reactor, args.server.host, args.server.port, 1, args.timeout, args.sockopt
        ).query()
    except ClientError:
        return first
    return address


class _PingPrinter:
    """A line for each answer, unless they are not wanted."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._server = args.server
        self._is_enabled = not (args.quiet or args.json)
        self._marks = {
            ReplyKind.REPLY: "",
            ReplyKind.DUPLICATE: _(" (duplicate)"),
            ReplyKind.LATE: _(" (late)"),
            ReplyKind.WRONG: _(" (wrong)"),
        }

    def reply_received(self, sequence: int, kind: ReplyKind, seconds: float, detail: str) -> None:
        """An answer."""
        text = _("from {server}: seq={sequence} time={ms:.3f} ms{mark}").format(
            server=self._server, sequence=sequence, ms=seconds * 1000, mark=self._marks[kind]
        )
        self._print(f"{text} {detail}".rstrip())

    def probe_failed(self, sequence: int, error: ClientError) -> None:
        """A probe without a future."""
        self._print(
            _("{server}: seq={sequence}: {reason}").format(
                server=self._server, sequence=sequence, reason=describe_error(error)
            )
        )

    def probe_lost(self, sequence: int) -> None:
        """A probe without an answer in time."""
        self._print(_("{server}: seq={sequence}: no answer").format(server=self._server, sequence=sequence))

    def connection_lost(self, error: ClientError | None) -> None:
        """No more probes can be sent."""
        if error is None:
            self._print(_("{server}: the server ended the connection").format(server=self._server))
        else:
            self._print(_("{server}: {reason}").format(server=self._server, reason=describe_error(error)))

    def _print(self, line: str) -> None:
        if self._is_enabled:
            print_line(line)


def _print_summary(args: argparse.Namespace, summary: Summary) -> None:
    if args.json:
        print(json.dumps(_summary_json(args, summary)))
        return
    print(_("--- {server} echotime ping statistics ---").format(server=args.server))
    print(
        _("probes: {sent}, answers: {received}, loss: {loss:.1f}%, time {seconds:.1f} s").format(
            sent=summary.sent, received=summary.received, loss=summary.loss, seconds=summary.seconds
        )
    )
    if summary.duplicates or summary.late or summary.wrong or summary.errors:
        print(
            _("duplicates: {duplicates}, late: {late}, wrong: {wrong}, errors: {errors}").format(
                duplicates=summary.duplicates, late=summary.late, wrong=summary.wrong, errors=summary.errors
            )
        )
    if summary.times:
        print(format_stats(summary.times))
        if args.histogram:
            print("\n".join(histogram(summary.times)))


def _summary_json(args: argparse.Namespace, summary: Summary) -> dict[str, Any]:
    whole: dict[str, Any] = {"server": str(args.server), "way": args.way, "loss_percent": summary.loss}
    whole |= {name: value for name, value in vars(summary).items() if name != "times"}
    if summary.times:
        whole["round_trip_ms"] = compute_stats(summary.times)._asdict()
    return whole
