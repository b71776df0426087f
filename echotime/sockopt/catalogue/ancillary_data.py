"""What is told with each datagram."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import (
    FLAG,
    RECVERR_CAVEAT,
    RECVERR_HAZARD,
    ipv4_option,
    ipv6_option,
    socket_option,
)
from echotime.sockopt.option import BOTH, UDP, Aliases, Option
from echotime.sockopt.values import N_

TITLE = N_("What is told with each datagram")
INTRODUCTION = (
    "Control messages of recvmsg(2). The time service receives them; it uses the address that was asked and "
    "the error queue, and nothing else."
)

_TIMESTAMP_USE = "now minus it is how long the datagram waited for us"
_PKTINFO_USE = "On wildcard addresses: only so does an answer leave from the address that was asked."
_HOPS_USE = "To see how many hops away a sender is."
_TOS_USE = "To see whether the network re-marks."
_RECVERR_USE = "To hear of peers that are gone, without a connected socket each."

ROWS: tuple[Option, ...] = (
    ipv4_option(
        "IP_PKTINFO",
        8,
        FLAG,
        UDP,
        meaning="Deliver with each datagram the address it was sent to.",
        use=_PKTINFO_USE,
        caveat="Without it an answer leaves from an address of the route's choice. The daemon has it on there.",
        aliases=Aliases("PassPacketInfo=", "ip-pktinfo"),
    ),
    ipv6_option(
        "IPV6_RECVPKTINFO",
        49,
        FLAG,
        UDP,
        meaning="IP_PKTINFO for IPv6.",
        use=_PKTINFO_USE,
        caveat="Without it an answer leaves from an address of the route's choice. The daemon has it on there.",
        aliases=Aliases("PassPacketInfo=", "ipv6-recvpktinfo"),
    ),
    ipv4_option(
        "IP_RECVTTL",
        12,
        FLAG,
        UDP,
        meaning="Deliver the time to live each datagram arrived with.",
        use=_HOPS_USE,
        caveat="What the sender began with is a guess: 64, 128 or 255.",
        aliases=Aliases(socat="ip-recvttl"),
    ),
    ipv6_option(
        "IPV6_RECVHOPLIMIT",
        51,
        FLAG,
        UDP,
        meaning="Deliver the hop limit each datagram arrived with.",
        use=_HOPS_USE,
        caveat="What the sender began with is a guess: 64, 128 or 255.",
        aliases=Aliases(socat="ipv6-recvhoplimit"),
    ),
    ipv4_option(
        "IP_RECVTOS",
        13,
        FLAG,
        UDP,
        meaning="Deliver the DSCP and ECN byte each datagram arrived with.",
        use=_TOS_USE,
        aliases=Aliases(socat="ip-recvtos"),
    ),
    ipv6_option(
        "IPV6_RECVTCLASS",
        66,
        FLAG,
        UDP,
        meaning="Deliver the traffic class each datagram arrived with.",
        use=_TOS_USE,
        aliases=Aliases(socat="ipv6-recvtclass"),
    ),
    socket_option(
        "SO_TIMESTAMP",
        29,
        FLAG,
        BOTH,
        meaning="Deliver the time of receipt, in microseconds.",
        use=f"To measure a server from inside: {_TIMESTAMP_USE}.",
        caveat="SO_TIMESTAMPNS and this switch each other off.",
        aliases=Aliases("Timestamping=us", "so-timestamp"),
    ),
    socket_option(
        "SO_TIMESTAMPNS",
        35,
        FLAG,
        BOTH,
        meaning="Deliver the time of receipt, in nanoseconds.",
        use=f"To measure a server from inside: {_TIMESTAMP_USE}.",
        caveat="SO_TIMESTAMP and this switch each other off.",
        aliases=Aliases("Timestamping=ns"),
    ),
    socket_option(
        "SO_RXQ_OVFL",
        40,
        FLAG,
        UDP,
        meaning="Deliver how many datagrams were dropped on this socket, mostly for want of room; once any was.",
        use="To notice drops with the next datagram; SO_MEMINFO tells the same without one.",
    ),
    ipv4_option(
        "IP_RECVERR",
        11,
        FLAG,
        BOTH,
        meaning="Report ICMP errors at once, through the socket's error queue.",
        use=_RECVERR_USE,
        caveat=RECVERR_CAVEAT,
        hazard=RECVERR_HAZARD,
        aliases=Aliases(socat="ip-recverr"),
    ),
    ipv6_option(
        "IPV6_RECVERR",
        25,
        FLAG,
        BOTH,
        meaning="IP_RECVERR for IPv6.",
        use=_RECVERR_USE,
        caveat=RECVERR_CAVEAT,
        hazard=RECVERR_HAZARD,
        aliases=Aliases(socat="ipv6-recverr"),
    ),
)
