"""The rows of IPPROTO_IP. Sources: ip(7), and the kernel itself."""

from __future__ import annotations

from functools import partial

from echotime.sockopt.forms import Flag, Integer
from echotime.sockopt.option import Moment, Option
from echotime.sockopt.row_parts import BOTH, DEFAULT, ECN, ERRORS_DANGER, ERRORS_TRAP, TRAFFIC_CLASS, UDP

_row = partial(Option, "IPPROTO_IP")

ROWS: tuple[Option, ...] = (
    _row(
        "IP_TOS",
        1,
        TRAFFIC_CLASS,
        BOTH,
        "The DSCP and ECN byte of what is sent; shifts a socket's SO_PRIORITY too.",
        altered=ECN,
    ),
    _row(
        "IP_TTL",
        2,
        Integer(1, 255, "", {"default": -1}),
        BOTH,
        "The time to live of what is sent.",
        altered=DEFAULT,
    ),
    _row(
        "IP_PKTINFO",
        8,
        Flag(),
        UDP,
        "Deliver with each datagram the address it was sent to.",
        trap="On by default on a wildcard address: only so does an answer leave from the address that was asked.",
    ),
    _row(
        "IP_RECVERR",
        11,
        Flag(),
        BOTH,
        "Report ICMP errors at once, through the socket's error queue.",
        trap=ERRORS_TRAP,
        danger=ERRORS_DANGER,
    ),
    _row("IP_RECVTTL", 12, Flag(), UDP, "Deliver the time to live each datagram arrived with."),
    _row("IP_RECVTOS", 13, Flag(), UDP, "Deliver the DSCP and ECN byte each datagram arrived with."),
    _row(
        "IP_FREEBIND",
        15,
        Flag(),
        BOTH,
        "Bind to an address that this host does not have yet, IPv4 or IPv6.",
        versions=(4, 6),
        moment=Moment.BEFORE_BIND,
    ),
)
