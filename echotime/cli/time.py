"""`echotime time`: ask for the time over UDP and show it (seed: clientudp.py)."""

from __future__ import annotations

import argparse
import time
from datetime import datetime, timezone
from typing import Any

from echotime.cli import arguments
from echotime.cli.output.stderr import print_error, report_error
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.time import TimeClient, TimeReading, decode_response
from echotime.client.udp_request import UDPResponse
from echotime.i18n.language import gettext as _
from echotime.wire import parsers
from echotime.wire.escape import preview
from echotime.wire.identify import ReplyFormat, identify
from echotime.wire.timestamp import Epoch

_PREVIEW_BYTES = 100


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "time",
        help=_("ask for the time over UDP"),
        description=_(
            "Send an empty datagram and show the time that comes back on standard output; the offset from the "
            "local clock goes to standard error."
        ),
        epilog=_("Example: echotime time 127.0.0.1:12345"),
    )
    arguments.add_server(parser, optional=True)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--iso", action="store_true", help=_("as in 2026-11-22T10:27:23+00:00"))
    form.add_argument("--raw", action="store_true", help=_("the seconds since 1970"))
    parser.add_argument("--utc", action="store_true", help=_("in UTC instead of local time"))
    parser.add_argument(
        "--epoch",
        choices=sorted(parsers.EPOCHS),
        default="unix",
        help=_("where the server counts from; 1900 for RFC 868"),
    )
    parser.add_argument(
        "--tries",
        metavar="N",
        type=arguments.argparse_type(parsers.positive_int),
        default=3,
        help=_("how often to ask while no answer comes (default 3)"),
    )
    parser.add_argument(
        "--timeout",
        metavar="TIME",
        type=arguments.argparse_type(parsers.positive_seconds),
        default=1.0,
        help=_("how long to wait for each answer (default 1)"),
    )
    parser.add_argument("-q", "--quiet", action="store_true", help=_("the time alone"))
    arguments.add_sockopt(parser)
    parser.set_defaults(run=run, usage_error=parser.error, transports=lambda args: ["udp"])


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    arguments.prompt_for_server(args, _("input the server address:"))
    client = TimeClient(reactor, args.server.host, args.server.port, args.tries, args.timeout, args.sockopt)
    if not args.quiet:
        print_error(_("waiting for the answer..."))
    try:
        _address, response = await client.query()
    except ClientError as failed:
        for address in dict.fromkeys(client.unexpected_senders):
            print_error(
                _("echotime: an answer from {address}, which was not asked, was refused").format(address=address)
            )
        return report_error(args.server, failed)
    return _print_time(args, response)


def _print_time(args: argparse.Namespace, response: UDPResponse) -> int:
    epoch = parsers.EPOCHS[args.epoch]
    reply_format = identify(response.datagram, response.received_at)
    try:
        reading = decode_response(response, epoch)
    except ValueError:
        print_error(
            _("echotime: {server}: bad reply, {size} bytes: {text} (probably {kind})").format(
                server=args.server,
                size=len(response.datagram),
                text=preview(response.datagram, _PREVIEW_BYTES),
                kind=_format_name(reply_format),
            )
        )
        return ExitStatus.FAILED
    print(_format_time(args, reading.seconds))
    if reply_format is ReplyFormat.RFC868_32 and epoch is Epoch.UNIX:
        print_error(
            _("echotime: {server}: the server probably counts from 1900: use --epoch 1900").format(server=args.server)
        )
    if not args.quiet:
        _print_offset(reading, response, epoch)
    return ExitStatus.OK


def _format_name(reply_format: ReplyFormat) -> str:
    names = {
        ReplyFormat.UNIX_64: _("64-bit Unix time"),
        ReplyFormat.RFC868_64: _("64-bit time since 1900"),
        ReplyFormat.RFC868_32: _("32-bit time since 1900, as RFC 868 has it"),
        ReplyFormat.NTP: _("NTP packet"),
        ReplyFormat.TEXT: _("text, as a daytime or echo service sends"),
        ReplyFormat.UNKNOWN: _("nothing that is known here"),
    }
    return names[reply_format]


def _format_time(args: argparse.Namespace, seconds: int) -> str:
    if args.raw:
        return str(seconds)
    if args.iso:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        return (moment if args.utc else moment.astimezone()).isoformat()
    return time.asctime(time.gmtime(seconds)) if args.utc else time.ctime(seconds)


def _print_offset(reading: TimeReading, response: UDPResponse, epoch: Epoch) -> None:
    print_error(
        _(
            "offset {offset:+.3f} s, uncertain by {uncertainty:.3f} s: round trip {ms:.3f} ms, whole seconds only"
        ).format(offset=reading.offset, uncertainty=reading.uncertainty, ms=response.round_trip * 1000)
    )
    if reading.wrapped and epoch is Epoch.UNIX:
        print_error(_("the four bytes have begun again at 0; read as the time nearest to the local clock"))
