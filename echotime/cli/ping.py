"""Implement `echotime ping`: probe a server repeatedly, and print statistics, as ping(8) does."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from typing import Any

from echotime.cli import arguments
from echotime.cli.output.progress import Progress, add_progress
from echotime.cli.output.streams import print_error, print_line, print_lines, print_text, report_error
from echotime.cli.ping_output import (
    JsonPrinter,
    SilentPrinter,
    TextPrinter,
    header,
    summary_json,
    summary_line,
    summary_lines,
)
from echotime.cli.proxy_arguments import add_proxy, proxy_header
from echotime.client.connect import ConnectedProtocol, connect
from echotime.client.deadline import Deadline
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress, resolve
from echotime.client.ping import PingReporter, PingSession, Prober
from echotime.client.probe_message import DEFAULT_PATTERN, DEFAULT_TCP_SIZE, MAX_SIZE, MIN_TCP_SIZE, Message, pad
from echotime.client.probers import ConnectProber, TcpProber, UdpProber
from echotime.client.stats import histogram
from echotime.client.time import TimeClient
from echotime.i18n.language import gettext as _
from echotime.terminal.columns import terminal_width
from echotime.wire import parsers
from echotime.wire.json_line import format_json

_MAX_PATTERN = 16
"""Bytes, as of ping(8)."""


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
    parser.add_argument(
        "-s",
        "--size",
        metavar="SIZE",
        type=arguments.argparse_type(parsers.byte_count),
        help=_("bytes of a probe, from {least} over TCP, up to {most} (default: {tcp}, and 0 for UDP)").format(
            least=MIN_TCP_SIZE, most=MAX_SIZE, tcp=DEFAULT_TCP_SIZE
        ),
    )
    parser.add_argument(
        "-p",
        "--pattern",
        metavar="HEX",
        type=arguments.argparse_type(_parse_pattern),
        default=DEFAULT_PATTERN,
        help=_("fill probes with these bytes, 1 to 16 in hex, as in ff"),
    )
    parser.add_argument("-D", "--timestamps", action="store_true", help=_("print the Unix time before each line"))
    parser.add_argument("-q", "--quiet", action="store_true", help=_("print only the summary"))
    parser.add_argument("--histogram", action="store_true", help=_("draw a histogram of the round trips"))
    as_json = parser.add_mutually_exclusive_group()
    as_json.add_argument("--json", action="store_true", help=_("print only the summary, as JSON"))
    as_json.add_argument(
        "--json-lines", action="store_true", help=_("print each event and the summary as a line of JSON")
    )
    add_progress(parser)
    add_proxy(parser)
    arguments.add_sockopt(parser)
    parser.set_defaults(
        run=run, way="tcp", usage_error=parser.error, transports=lambda args: ["udp" if args.way == "udp" else "tcp"]
    )


def _parse_pattern(text: str) -> bytes:
    try:
        pattern = bytes.fromhex(text)
    except ValueError:
        pattern = b""
    if not 1 <= len(pattern) <= _MAX_PATTERN:
        raise ValueError(
            _(
                "{text!r} is not a pattern; expected 1 to {most} bytes in hex, as in ff; a port is given as HOST:PORT"
            ).format(text=text, most=_MAX_PATTERN)
        )
    return pattern


def _choose_size(args: argparse.Namespace) -> int:
    """Return the bytes of a probe. A usage error if they are too few or too many."""
    least, default = (0, 0) if args.way == "udp" else (MIN_TCP_SIZE, DEFAULT_TCP_SIZE)
    if args.size is None:
        return default
    if not least <= args.size <= MAX_SIZE:
        args.usage_error(
            _("argument -s/--size: must be between {least} and {most} bytes").format(least=least, most=MAX_SIZE)
        )
    return int(args.size)


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""
    size = _choose_size(args)
    deadline = Deadline(reactor, args.deadline)
    try:
        addresses = await resolve(args.server, deadline, args.family)
    except ClientError as failed:
        return report_error(args.server, failed)
    address = addresses[0]
    if len(addresses) > 1:
        address = await _first_responding(reactor, args, addresses, deadline.within(args.timeout))
    printer = _make_printer(args, address, size)
    session = PingSession(reactor, printer, count=args.count, interval=args.interval, timeout=args.timeout)

    def prober(session: PingSession) -> Prober:
        if args.way == "udp":
            return UdpProber(session, reactor, address, pad(args.pattern, size), args.sockopt)
        make = TcpProber if args.way == "tcp" else ConnectProber
        message = Message(size, args.pattern)
        return make(session, reactor, address, message, args.sockopt, args.timeout, proxy_header(args))

    def print_counts() -> None:
        progress.erase()
        print_error(summary_line(session.current_summary()))

    signals: set[int] = set()

    def on_signal(number: int, frame: object) -> None:
        signals.add(number)
        reactor.callFromThread(session.stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    signal.signal(signal.SIGQUIT, lambda number, frame: reactor.callFromThread(print_counts))
    progress = Progress(
        reactor,
        isinstance(printer, SilentPrinter) and not args.no_progress,
        lambda seconds: summary_line(session.current_summary()),
    )
    summary = await session.start(prober, deadline.remaining)
    progress.stop()
    if args.json or args.json_lines:
        values = summary_json(args.server, address, args.way, size, summary)
        print_line(format_json({"event": "summary", **values} if args.json_lines else values))
    else:
        print_text(*summary_lines(args.server, summary, interrupted=signal.SIGINT in signals))
        if summary.times and args.histogram:
            print_lines(histogram(summary.times, width=terminal_width()))
    return ExitStatus.OK if summary.received else ExitStatus.FAILED


async def _first_responding(
    reactor: Any, args: argparse.Namespace, addresses: Sequence[ResolvedAddress], deadline: Deadline
) -> ResolvedAddress:
    """Return the address that responds or accepts first, or the first one if none does."""
    try:
        if args.way == "udp":
            address, _response = await TimeClient(reactor, addresses, 1, args.timeout, args.sockopt).query(deadline)
            return address
        client = await connect(reactor, addresses, ConnectedProtocol, args.sockopt, deadline, proxy_header(args))
    except ClientError:
        return addresses[0]
    assert client.transport is not None
    client.transport.loseConnection()
    return client.address


def _make_printer(args: argparse.Namespace, address: ResolvedAddress, size: int) -> PingReporter:
    """Print the header, and return what prints the events."""
    if args.json_lines:
        return JsonPrinter(address)
    if args.json:
        return SilentPrinter()
    print_line(header(args.server, address, args.way, size))
    return SilentPrinter() if args.quiet else TextPrinter(address, timestamps=args.timestamps)
