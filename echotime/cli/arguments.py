"""Arguments that several subcommands take, and texts of the command line as values."""

from __future__ import annotations

import argparse
import ipaddress
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from echotime.i18n.language import gettext as _
from echotime.sockopt import assignment, listing
from echotime.wire import hostport
from echotime.wire.encoding import parse_encoding
from echotime.wire.escape import unescape
from echotime.wire.message import ACKNOWLEDGEMENT

DEFAULT_PORT = 12345
_MAX_DIGITS = 10
T = TypeVar("T")


class ServerAddress(NamedTuple):
    """Whom to talk to."""

    host: str
    port: int

    def __str__(self) -> str:
        return hostport.format_hostport(self.host, self.port)


def parse_server(text: str) -> ServerAddress:
    """HOST, HOST:PORT, an IPv6 address with or without brackets, [IPv6]:PORT. Raises ValueError."""
    if _is_ipv6(text):
        return ServerAddress(text, DEFAULT_PORT)
    host, port = hostport.split_hostport(text)
    if host is None and port is not None:
        raise ValueError(_("{text} is a port without a host; expected HOST or HOST:PORT").format(text=text))
    if not host:
        raise ValueError(_("the host is missing; expected HOST or HOST:PORT"))
    if text.startswith("[") and not _is_ipv6(host):
        raise ValueError(_("{host} is no IPv6 address").format(host=host))
    number = DEFAULT_PORT if port is None else hostport.parse_port(port)
    if not number:
        raise ValueError(_("port 0 is nobody's; expected 1 to 65535"))
    return ServerAddress(host, number)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def argparse_type(coerce: Callable[[str], T]) -> Callable[[str], T]:
    """For argparse's type=, which drops what a ValueError says."""

    def convert(text: str) -> T:
        try:
            return coerce(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def positive_seconds(text: str) -> float:
    """More than no seconds, fractions allowed. Raises ValueError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 2**31:
        raise ValueError(_("{text!r} is no time; expected seconds above 0, as in 5 or 0.5").format(text=text))
    return number


def positive_int(text: str) -> int:
    """A whole number from 1 on. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS and 0 < int(text) < 2**31):
        raise ValueError(_("{text!r} is no number; expected a whole number from 1 on").format(text=text))
    return int(text)


def add_server(parser: Any, *, optional: bool = False) -> None:
    """HOST[:PORT]."""
    parser.add_argument(
        "server",
        metavar="HOST[:PORT]",
        type=argparse_type(parse_server),
        nargs="?" if optional else None,
        help=_("the server; port 12345 unless given"),
    )


def prompt_for_server(args: argparse.Namespace, prompt: str) -> None:
    """Ask the person at the terminal for a missing server, as the seed's clients do; a usage error without one."""
    if args.server is not None:
        return
    if not sys.stdin.isatty():
        args.usage_error(_("the host is missing; expected HOST or HOST:PORT"))
    try:
        args.server = parse_server(prompt_line(prompt))
    except ValueError as error:
        args.usage_error(str(error))


def prompt_line(prompt: str) -> str:
    """What a person answers."""
    # not input(): it would write the prompt to standard output, which is for what comes back
    print(prompt, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().rstrip("\n")


def _parse_sockopt(text: str) -> assignment.Assignment:
    if text.lower() == "help":
        print("\n".join(listing.option_lines()))
        raise SystemExit(0)
    return assignment.parse(text)


def add_sockopt(parser: Any) -> None:
    """--sockopt."""
    parser.add_argument(
        "--sockopt",
        metavar="NAME=VALUE",
        type=argparse_type(_parse_sockopt),
        action="append",
        default=[],
        help=_("set a socket option before connecting; repeatable; help lists them"),
    )


def check_sockopt(args: argparse.Namespace) -> None:
    """A usage error for a socket option that none of the subcommand's transports would use."""
    transports = args.transports(args)
    for requested in args.sockopt:
        useful = [
            each for each in transports if each in requested.option.transports and requested.transport in {None, each}
        ]
        if requested.transport and requested.transport not in transports:
            used = ", ".join(transports).upper()
            args.usage_error(_("{asked}: what is used here is {used}").format(asked=requested, used=used))
        if not useful:
            args.usage_error(assignment.no_effect_message(requested.option, transports[0]))


def add_trailer(parser: Any) -> None:
    """--ack and --reply: what the server is expected to add."""
    parser.add_argument(
        "--ack",
        metavar="TEXT",
        type=argparse_type(unescape),
        default=ACKNOWLEDGEMENT,
        help=_(r"the acknowledgement that the server sends; \n \t \xNN are understood"),
    )
    parser.add_argument(
        "--reply",
        metavar="TEXT",
        type=argparse_type(unescape),
        default=b"",
        help=_("the word that the server sends after it"),
    )


def add_encoding(parser: Any) -> None:
    """--encoding."""
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        type=argparse_type(parse_encoding),
        default="utf-8",
        help=_("the encoding of the message and of what is shown (the seed's programs use cp936)"),
    )


SECONDS: Any = {"metavar": "SECONDS", "type": argparse_type(positive_seconds)}
"""Keyword arguments of add_argument for a time."""
COUNT: Any = {"metavar": "N", "type": argparse_type(positive_int)}
"""Keyword arguments of add_argument for a count."""
