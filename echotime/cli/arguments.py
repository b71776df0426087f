"""Arguments that several subcommands have, and their parsers."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from echotime.cli.output.streams import print_lines
from echotime.i18n.language import gettext as _
from echotime.sockopt import assignment, listing
from echotime.terminal.columns import fit
from echotime.wire import hostport, parsers
from echotime.wire.hostport import DEFAULT_PORT, HostPort
from echotime.wire.message import ACKNOWLEDGEMENT
from echotime.wire.template import parse_constant

T = TypeVar("T")
FAMILY_NAMES = {socket.AF_INET: "IPv4", socket.AF_INET6: "IPv6"}


def parse_server(text: str) -> HostPort:
    """Parse HOST, HOST:PORT, an IPv6 address with or without brackets, or [IPv6]:PORT. Raises ValueError."""
    if hostport.is_ipv6(text):
        return HostPort(text, DEFAULT_PORT)
    if "," in text:
        raise ValueError(_("'{text}' is a list; expected one server").format(text=text))
    host, port = hostport.split_hostport(text)
    if host is None and port is not None:
        raise ValueError(_("{text} is a port without a host; expected HOST or HOST:PORT").format(text=text))
    if not host:
        raise ValueError(_("the host is missing; expected HOST or HOST:PORT"))
    if "/" in host:
        raise ValueError(
            _("'{text}' has a slash, and a path is not a server; expected HOST or HOST:PORT").format(text=text)
        )
    if text.startswith("[") and not hostport.is_ipv6(host):
        raise ValueError(_("{host} is not an IPv6 address").format(host=host))
    return HostPort(host, DEFAULT_PORT if port is None else parse_server_port(port))


def parse_server_port(text: str) -> int:
    """Parse a port from 1 to 65535. Raises ValueError."""
    return hostport.parse_port(text, 1)


def argparse_type(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Return a function for argparse's type= that keeps the message of a ValueError."""

    def convert(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def add_server(parser: Any, *, optional: bool = False) -> None:
    """Add the argument HOST[:PORT], and the choice of the address family, to a parser."""
    parser.add_argument(
        "server",
        metavar="HOST[:PORT]",
        type=argparse_type(parse_server),
        nargs="?" if optional else None,
        help=_("the server; port 12345 unless given"),
    )
    family = parser.add_mutually_exclusive_group()
    for option, each, text in (
        ("-4", socket.AF_INET, _("use IPv4 addresses only")),
        ("-6", socket.AF_INET6, _("use IPv6 addresses only")),
    ):
        family.add_argument(
            option, dest="family", action="store_const", const=each, default=socket.AF_UNSPEC, help=text
        )


def numeric_family(host: str) -> socket.AddressFamily | None:
    """Return the family of a numeric address without an interface, or None."""
    for family in FAMILY_NAMES:
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):  # ValueError for a null character
            continue
        return family
    return None


def check_family(args: argparse.Namespace) -> None:
    """Refuse -4 or -6 with an address of the other family."""
    for server in filter(None, (args.server, getattr(args, "hostname", None))):
        family = numeric_family(server.host.partition("%")[0])
        if family is not None and args.family not in {socket.AF_UNSPEC, family}:
            args.usage_error(
                _("{host} is {family}, and {option} was given").format(
                    host=server.host,
                    family=FAMILY_NAMES[family],
                    option="-6" if family is socket.AF_INET else "-4",
                )
            )


def prompt_for_server(args: argparse.Namespace, prompt: str) -> None:
    """Prompt for a missing server, as the original clients do. Without a terminal it is a usage error."""
    if args.server is not None:
        return
    if not sys.stdin.isatty():
        args.usage_error(_("the host is missing; expected HOST or HOST:PORT"))
    try:
        args.server = parse_server(prompt_line(prompt))
    except ValueError as error:
        args.usage_error(str(error))
    check_family(args)


def prompt_line(prompt: str) -> str:
    """Prompt on standard error, and return a line of standard input."""
    # input() would write the prompt to standard output, which is for the reply
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline().rstrip("\n")


def _parse_sockopt(text: str) -> assignment.Assignment:
    if text.lower() == "help":
        print_lines(listing.option_lines(fit))
        raise SystemExit(0)
    return assignment.parse(text)


def add_sockopt(parser: Any) -> None:
    """Add the option --sockopt to a parser."""
    parser.add_argument(
        "--sockopt",
        metavar="NAME=VALUE",
        type=argparse_type(_parse_sockopt),
        action="append",
        default=[],
        help=_("set a socket option before connecting; repeatable; help lists them"),
    )


def check_sockopt(args: argparse.Namespace) -> None:
    """Refuse a socket option that has no effect on the subcommand's transports."""
    transports = args.transports(args)
    for requested in args.sockopt:
        useful = [
            each for each in transports if each in requested.option.transports and requested.transport in {None, each}
        ]
        if requested.transport and requested.transport not in transports:
            used = _(", ").join(transports).upper()
            args.usage_error(_("{assignment}: this command uses {used}").format(assignment=requested, used=used))
        if not useful:
            args.usage_error(assignment.no_effect_message(requested.option, transports[0]))


def add_trailer(parser: Any) -> None:
    """Add --ack and --reply, the trailer that the server is expected to send."""
    parser.add_argument(
        "--ack",
        metavar="TEXT",
        type=argparse_type(parse_constant),
        default=ACKNOWLEDGEMENT,
        help=_(r"the acknowledgement that the server sends, with escapes such as \n \t \xNN"),
    )
    parser.add_argument(
        "--reply",
        metavar="TEXT",
        type=argparse_type(parse_constant),
        default=b"",
        help=_("the constant reply that the server sends after the acknowledgement"),
    )


def add_encoding(parser: Any) -> None:
    """Add the option --encoding to a parser."""
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        type=argparse_type(parsers.encoding),
        default="utf-8",
        help=_("the encoding of the message and of what is shown (the original scripts use cp936)"),
    )


TIME: Any = {"metavar": "TIME", "type": argparse_type(parsers.positive_seconds)}
"""Keyword arguments of add_argument for a time."""
COUNT: Any = {"metavar": "N", "type": argparse_type(parsers.positive_int)}
"""Keyword arguments of add_argument for a count."""
