"""Arguments of the subcommands that send a PROXY header at the start of each TCP connection."""

from __future__ import annotations

import argparse
import socket
from typing import Any

from echotime.cli.arguments import FAMILY_NAMES, argparse_type, numeric_family
from echotime.client.connect import MakeHeader
from echotime.i18n.language import gettext as _
from echotime.wire import hostport
from echotime.wire.hostport import HostPort
from echotime.wire.proxy_header import make_v1, make_v2

_SOURCE, _DESTINATION = "--proxy-source", "--proxy-destination"
_MAKE_HEADER = {"1": make_v1, "2": make_v2}


def add_proxy(parser: Any) -> None:
    """Add --proxy-protocol, --proxy-source and --proxy-destination to a parser."""
    parser.add_argument(
        "--proxy-protocol",
        choices=sorted(_MAKE_HEADER),
        help=_("send a PROXY header of this version first on each TCP connection"),
    )
    for option, text in (
        (_SOURCE, _("the client's address in the PROXY header (default: the connection's own)")),
        (_DESTINATION, _("the server's address in the PROXY header (default: the connection's own)")),
    ):
        parser.add_argument(option, metavar="ADDRESS:PORT", type=argparse_type(_parse_end), help=text)


def _parse_end(text: str) -> HostPort:
    """Parse a numeric address and a port. Raises ValueError."""
    host, port = hostport.split_hostport(text)
    if not host or port is None or numeric_family(host) is None:
        raise ValueError(_("'{text}' must be a numeric ADDRESS:PORT or [IPv6]:PORT").format(text=text))
    return HostPort(host, hostport.parse_port(port))


def check_proxy(args: argparse.Namespace) -> None:
    """Refuse options that make no header. An address given alone restricts the connection to its family."""
    given = {
        option: end for option, end in ((_SOURCE, args.proxy_source), (_DESTINATION, args.proxy_destination)) if end
    }
    if args.proxy_protocol is None:
        for option in given:
            args.usage_error(_("{option} requires --proxy-protocol").format(option=option))
        return
    if "tcp" not in args.transports(args):
        args.usage_error(_("{assignment}: this command uses {used}").format(assignment="--proxy-protocol", used="UDP"))
    families = {option: numeric_family(end.host) for option, end in given.items()}
    if len(set(families.values())) > 1:
        args.usage_error(
            _("{source} and {destination} must both be IPv4 or both IPv6").format(
                source=_SOURCE, destination=_DESTINATION
            )
        )
    if len(given) == 1:
        ((option, family),) = families.items()
        assert family is not None
        of_server = numeric_family(args.server.host) if args.server else None
        if args.family not in {socket.AF_UNSPEC, family} or of_server not in {None, family}:
            (other,) = {_SOURCE, _DESTINATION} - {option}
            args.usage_error(
                _("{option} is {family}, and the connection is not: give {other}, too").format(
                    option=option, family=FAMILY_NAMES[family], other=other
                )
            )
        args.family = family


def proxy_header(args: argparse.Namespace) -> MakeHeader | None:
    """Return what makes the header from the connection's own and remote address, None without --proxy-protocol."""
    if args.proxy_protocol is None:
        return None
    make = _MAKE_HEADER[args.proxy_protocol]
    return lambda own, remote: make(args.proxy_source or own, args.proxy_destination or remote)
