"""The rows of IPPROTO_IPV6. Sources: ipv6(7), RFC 3493, RFC 3542, and the kernel itself."""

from __future__ import annotations

from functools import partial

from echotime.sockopt.forms import Flag, Integer
from echotime.sockopt.option import Moment, Option
from echotime.sockopt.row_parts import BOTH, DEFAULT, ECN, ERRORS_DANGER, ERRORS_TRAP, TRAFFIC_CLASS, UDP

_row = partial(Option, "IPPROTO_IPV6")

ROWS: tuple[Option, ...] = (
    _row(
        "IPV6_UNICAST_HOPS",
        16,
        Integer(0, 255, "", {"default": -1}),
        BOTH,
        "The hop limit of what is sent.",
        altered=DEFAULT,
    ),
    _row("IPV6_RECVERR", 25, Flag(), BOTH, "IP_RECVERR for IPv6.", trap=ERRORS_TRAP, danger=ERRORS_DANGER),
    _row(
        "IPV6_V6ONLY",
        26,
        Flag(),
        BOTH,
        "Serve IPv6 only; off, a socket on [::] serves IPv4 as well.",
        moment=Moment.BEFORE_BIND,
        altered="a socket bound to an IPv6 address other than [::] speaks IPv6 only",
        trap="Off by default on [::], whatever the system's net.ipv6.bindv6only says.",
    ),
    _row(
        "IPV6_RECVPKTINFO",
        49,
        Flag(),
        UDP,
        "IP_PKTINFO for IPv6.",
        trap="On by default on [::]: only so does an answer leave from the address that was asked.",
    ),
    _row("IPV6_RECVHOPLIMIT", 51, Flag(), UDP, "Deliver the hop limit each datagram arrived with."),
    _row("IPV6_RECVTCLASS", 66, Flag(), UDP, "Deliver the traffic class each datagram arrived with."),
    _row("IPV6_TCLASS", 67, TRAFFIC_CLASS, BOTH, "The traffic class of what is sent.", altered=ECN),
)
