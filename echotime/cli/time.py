"""Implement `echotime time`: request the time over UDP, and print it (original script: clientudp.py)."""

from __future__ import annotations

import argparse
import time
from datetime import datetime, timezone
from typing import Any

from echotime.cli import arguments
from echotime.cli.output.streams import print_error, print_line, report_error
from echotime.client.deadline import Deadline
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import resolve
from echotime.client.time import TimeClient, TimeReading, decode_response
from echotime.client.udp_request import UDPResponse
from echotime.i18n.language import gettext as _
from echotime.wire import parsers
from echotime.wire.escape import preview
from echotime.wire.identify import ReplyFormat, guess_epoch, identify
from echotime.wire.timestamp import Epoch

_PREVIEW_BYTES = 100


def add_parser(commands: Any) -> None:
    """Add the parser of this subcommand."""
    parser = commands.add_parser(
        "time",
        help=_("request the time over UDP"),
        description=_(
            "Send an empty datagram, and print the time in the response. The offset from the local clock goes to "
            "standard error."
        ),
        epilog=_("Example: echotime time 127.0.0.1:12345"),
    )
    arguments.add_server(parser, optional=True)
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--iso", action="store_true", help=_("print the time in ISO 8601, as in 2026-11-22T10:27:23+00:00")
    )
    form.add_argument("--raw", action="store_true", help=_("print the seconds since 1970"))
    parser.add_argument("--utc", action="store_true", help=_("print the time in UTC instead of local time"))
    add_epoch(parser)
    parser.add_argument(
        "--tries", **arguments.COUNT, default=3, help=_("maximum number of requests (default: %(default)s)")
    )
    parser.add_argument(
        "--timeout",
        **arguments.TIME,
        default=1,
        help=_("time to wait after each request; the run takes at most --tries times this (default: %(default)s)"),
    )
    parser.add_argument("-q", "--quiet", action="store_true", help=_("print only the time"))
    arguments.add_sockopt(parser)
    parser.set_defaults(run=run, usage_error=parser.error, transports=lambda args: ["udp"])


def add_epoch(parser: Any) -> None:
    """Add the option --epoch to a parser."""
    parser.add_argument(
        "--epoch",
        choices=sorted(parsers.EPOCHS),
        default="unix",
        help=_("epoch of the server's time; 1900 for RFC 868 (default: %(default)s)"),
    )


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""
    arguments.prompt_for_server(args, _("input the server address:"))
    if not args.quiet:
        print_error(_("waiting for the answer..."))
    deadline = Deadline(reactor, args.tries * args.timeout)
    try:
        addresses = await resolve(args.server, deadline, args.family)
    except ClientError as failed:
        return report_error(args.server, failed)
    client = TimeClient(reactor, addresses, args.tries, args.timeout, args.sockopt)
    try:
        address, response = await client.query(deadline)
    except ClientError as failed:
        if client.unexpected_count:
            print_error(
                _("echotime: ignored responses from wrong addresses: {count}, the first from {address}").format(
                    count=client.unexpected_count, address=client.first_unexpected
                )
            )
        return report_error(args.server, failed)
    if not args.quiet and address.host != args.server.host:
        print_error(_("answer from {address}").format(address=address.host))
    return _print_time(args, response)


def _print_time(args: argparse.Namespace, response: UDPResponse) -> int:
    epoch = parsers.EPOCHS[args.epoch]
    try:
        reading = decode_response(response, epoch)
    except ValueError:
        print_error(
            _("echotime: {server}: bad response, {size} bytes: {text} (probably {kind})").format(
                server=args.server,
                size=len(response.datagram),
                text=preview(response.datagram, _PREVIEW_BYTES),
                kind=_format_name(identify(response.datagram, response.received_at)),
            )
        )
        return ExitStatus.FAILED
    print_line(_format_time(args, reading.seconds))
    if suggestion := suggest_epoch(response, epoch):
        print_error(f"echotime: {args.server}{suggestion}")
    if not args.quiet:
        _print_offset(reading, response, epoch)
    return ExitStatus.OK


def suggest_epoch(response: UDPResponse, epoch: Epoch) -> str:
    """Return the advice to use another epoch, if the time is current with it, to follow other text."""
    guess = guess_epoch(response.datagram, response.received_at)
    if guess is None or guess is epoch:
        return ""
    year = 1970 if guess is Epoch.UNIX else 1900
    name = next(name for name, each in parsers.EPOCHS.items() if each is guess)
    return _(": the time is probably in seconds since {year}: use --epoch {name}").format(year=year, name=name)


def _format_name(reply_format: ReplyFormat) -> str:
    names = {
        ReplyFormat.UNIX_64: _("64-bit Unix time"),
        ReplyFormat.RFC868_64: _("64-bit time since 1900"),
        ReplyFormat.NTP: _("NTP packet"),
        ReplyFormat.TEXT: _("text, as from a daytime or echo service"),
        ReplyFormat.UNKNOWN: _("an unknown format"),
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
        print_error(_("the 32-bit time has wrapped; the time nearest to the local clock is shown"))
