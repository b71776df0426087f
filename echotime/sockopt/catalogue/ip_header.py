"""What the packets carry."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import (
    DEFAULT_RESOLVED,
    ECN_CLEARED,
    FLAG,
    HOP_LIMIT,
    ON,
    TRAFFIC_CLASS,
    ipv4_option,
    ipv6_option,
    socket_option,
)
from echotime.sockopt.option import BOTH, UDP, Aliases, Hazard, OnAccept, Option, Privilege, ReadBackNote
from echotime.sockopt.values import N_, Choice, Integer

TITLE = N_("What packets carry")
INTRODUCTION = "Fields of the IP header, and the marks by which this host's own queues and routes choose."

_DSCP_USE = "To ask the network for a class of service, or to see whether it re-marks."
_HOPS_USE = "Small, to stay within so many hops; 255 for peers that check it (RFC 5082)."

# IP_TOS stands before SO_PRIORITY, which it shifts: options are set in the catalogue's order
ROWS: tuple[Option, ...] = (
    ipv4_option(
        "IP_TOS",
        1,
        TRAFFIC_CLASS,
        BOTH,
        meaning="The DSCP and ECN byte of what is sent; setting it sets the socket's SO_PRIORITY, too.",
        use=_DSCP_USE,
        caveat="Networks of others clear or change it. A connection inherits it, and not the priority.",
        example="EF",
        read_back_note=ReadBackNote(ECN_CLEARED, example="255"),
        aliases=Aliases("IPTOS=", "ip-tos"),
    ),
    ipv6_option(
        "IPV6_TCLASS",
        67,
        TRAFFIC_CLASS,
        BOTH,
        meaning="The traffic class of what is sent.",
        use=_DSCP_USE,
        caveat="Networks of others clear or change it.",
        example="EF",
        read_back_note=ReadBackNote(ECN_CLEARED, example="255"),
        aliases=Aliases(socat="ipv6-tclass"),
    ),
    socket_option(
        "SO_PRIORITY",
        12,
        Integer(-(2**31), 2**31 - 1),
        BOTH,
        meaning="The queueing priority of what is sent.",
        use="Where the interface's queue has bands or classes by priority.",
        caveat="Never part of the packet. IP_TOS sets it too: echotime sets that first.",
        example="5",
        on_accept=OnAccept.REAPPLIED,
        privilege=Privilege(
            "CAP_NET_ADMIN (or CAP_NET_RAW since Linux 5.17) for values below 0 and above 6", example="7"
        ),
        aliases=Aliases("Priority=", "so-priority"),
    ),
    socket_option(
        "SO_MARK",
        36,
        Integer(0, 2**32 - 1, signed=False),
        BOTH,
        meaning="The mark by which routing rules and netfilter know what is sent.",
        use="To send answers by another routing table (ip rule fwmark).",
        caveat="Never part of the packet. A mark that no rule knows changes nothing.",
        example="1",
        privilege=Privilege("CAP_NET_ADMIN (or CAP_NET_RAW since Linux 5.17)", example="1"),
        aliases=Aliases("Mark="),
    ),
    ipv4_option(
        "IP_TTL",
        2,
        Integer(1, 255, "", {"default": -1}),
        BOTH,
        meaning="The time to live of what is sent.",
        use=_HOPS_USE,
        caveat="Too small, answers die on the way and the client sees a timeout.",
        example="5",
        read_back_note=ReadBackNote(DEFAULT_RESOLVED, example="default"),
        aliases=Aliases("IPTTL=", "ip-ttl"),
    ),
    ipv6_option(
        "IPV6_UNICAST_HOPS",
        16,
        HOP_LIMIT,
        BOTH,
        meaning="The hop limit of what is sent.",
        use=_HOPS_USE,
        caveat="Too small, answers die on the way and the client sees a timeout.",
        example="5",
        read_back_note=ReadBackNote(DEFAULT_RESOLVED, example="default"),
        aliases=Aliases("IPTTL=", "ipv6-unicast-hops"),
    ),
    ipv4_option(
        "IP_MTU_DISCOVER",
        10,
        Choice({"dont": 0, "want": 1, "do": 2, "probe": 3, "interface": 4, "omit": 5}),
        BOTH,
        meaning="Whether packets may be fragmented: do sets don't-fragment always, dont never.",
        use="With do or probe to find out a path's MTU; with dont where ICMP is filtered.",
        caveat="With do, a datagram larger than the path's MTU is lost until that is known, and then "
        "refused (EMSGSIZE).",
        example="do",
        aliases=Aliases(socat="ip-mtu-discover"),
    ),
    ipv6_option(
        "IPV6_DONTFRAG",
        62,
        FLAG,
        UDP,
        meaning="Do not fragment what this host sends; routers never do in IPv6.",
        use="To find out a path's MTU.",
        caveat="A datagram larger than the path's MTU is dropped, or refused (EMSGSIZE).",
        hazard=Hazard(UDP, ON, "what is larger than the path's MTU is lost instead of fragmented"),
    ),
)
