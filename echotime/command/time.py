"""`echotime time`: ask for the time over UDP and show it (seed: clientudp.py)."""

from __future__ import annotations

import argparse
import time
from datetime import datetime, timezone
from typing import Any

from echotime.clients.question import Answer
from echotime.clients.status import ClientFailed, Status
from echotime.clients.time import Reading, TimeClient, reading
from echotime.command import arguments
from echotime.command.report import say, say_failed
from echotime.locale.language import gettext as _
from echotime.wire.printable import shown
from echotime.wire.recognition import Kind, recognised
from echotime.wire.timestamp import Epoch

EPOCHS = {"unix": Epoch.UNIX, "1900": Epoch.RFC868}
_SHOWN_BYTES = 100


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
        "--epoch", choices=sorted(EPOCHS), default="unix", help=_("where the server counts from; 1900 for RFC 868")
    )
    parser.add_argument(
        "--tries",
        metavar="N",
        type=arguments.coerced(arguments.positive),
        default=3,
        help=_("how often to ask while no answer comes (default 3)"),
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=arguments.coerced(arguments.seconds),
        default=1.0,
        help=_("how long to wait for each answer (default 1)"),
    )
    parser.add_argument("-q", "--quiet", action="store_true", help=_("the time alone"))
    arguments.add_sockopt(parser)
    parser.set_defaults(run=run, usage_error=parser.error, transports=lambda args: ["udp"])


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    arguments.ask_for_server(args, _("input the server address:"))
    client = TimeClient(reactor, args.server.host, args.server.port, args.tries, args.timeout, args.sockopt)
    if not args.quiet:
        say(_("waiting for the answer..."))
    try:
        _endpoint, answer = await client.ask()
    except ClientFailed as failed:
        for address in dict.fromkeys(client.strangers):
            say(_("echotime: an answer from {address}, which was not asked, was refused").format(address=address))
        return say_failed(args.server, failed)
    return _show(args, answer)


def _show(args: argparse.Namespace, answer: Answer) -> int:
    epoch = EPOCHS[args.epoch]
    kind = recognised(answer.datagram, answer.at)
    try:
        found = reading(answer, epoch)
    except ValueError:
        say(
            _("echotime: {server}: bad reply, {size} bytes: {text} (probably {kind})").format(
                server=args.server,
                size=len(answer.datagram),
                text=shown(answer.datagram, _SHOWN_BYTES),
                kind=_named(kind),
            )
        )
        return Status.FAILED
    print(_formatted(args, found.seconds))
    if kind is Kind.RFC868_32 and epoch is Epoch.UNIX:
        say(_("echotime: {server}: the server probably counts from 1900: use --epoch 1900").format(server=args.server))
    if not args.quiet:
        _remark(found, answer, epoch)
    return Status.OK


def _named(kind: Kind) -> str:
    names = {
        Kind.UNIX_64: _("64-bit Unix time"),
        Kind.RFC868_64: _("64-bit time since 1900"),
        Kind.RFC868_32: _("32-bit time since 1900, as RFC 868 has it"),
        Kind.NTP: _("NTP packet"),
        Kind.TEXT: _("text, as a daytime or echo service sends"),
        Kind.UNKNOWN: _("nothing that is known here"),
    }
    return names[kind]


def _formatted(args: argparse.Namespace, seconds: int) -> str:
    if args.raw:
        return str(seconds)
    if args.iso:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        return (moment if args.utc else moment.astimezone()).isoformat()
    return time.asctime(time.gmtime(seconds)) if args.utc else time.ctime(seconds)


def _remark(found: Reading, answer: Answer, epoch: Epoch) -> None:
    say(
        _(
            "offset {offset:+.3f} s, uncertain by {uncertainty:.3f} s: round trip {ms:.3f} ms, whole seconds only"
        ).format(offset=found.offset, uncertainty=found.uncertainty, ms=answer.round_trip * 1000)
    )
    if found.wrapped and epoch is Epoch.UNIX:
        say(_("the four bytes have begun again at 0; read as the time nearest to the local clock"))
