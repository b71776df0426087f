"""Describe the options for fields of the IP header and for packet marks."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import (
    DEFAULT_RESOLVED,
    FLAG,
    HOP_LIMIT,
    ON,
    ipproto_ip,
    ipproto_ipv6,
    ipv6_twin,
    sol_socket,
)
from echotime.sockopt.option import UDP, Aliases, Hazard, OnAccept, Option, Privilege, ReadBackNote
from echotime.sockopt.values import N_, Choice, Integer

TITLE = N_("IP header and packet marks")
INTRODUCTION = "Fields of the IP header, and the marks that this host's own queues and routes use."

_DSCP = {
    **{f"CS{n}": n << 5 for n in range(8)},
    **{f"AF{c}{d}": (c << 5) | (d << 3) for c in (1, 2, 3, 4) for d in (1, 2, 3)},
    "EF": 0xB8,
    "LE": 0x04,
    "lowdelay": 0x10,
    "throughput": 0x08,
    "reliability": 0x04,
}
TRAFFIC_CLASS = Integer(0, 255, "", _DSCP)
_DSCP_USE = "Request a class of service from the network, or test whether the network changes the value."
_ECN_CLEARED = ReadBackNote("on TCP the two ECN bits belong to the kernel and are cleared", "255")

# options are set in the catalogue's order: IP_TOS changes SO_PRIORITY, so it comes first
ROWS: tuple[Option, ...] = (
    Option(
        ipproto_ip("IP_TOS", 1, TRAFFIC_CLASS),
        meaning="The DSCP and ECN byte of sent packets; setting it also sets the socket's SO_PRIORITY.",
        use=_DSCP_USE,
        caveat="Other networks may clear or change it. A connection inherits it, but not the priority.",
        example="EF",
        read_back_note=_ECN_CLEARED,
        aliases=Aliases("IPTOS=", "ip-tos"),
    ),
    Option(
        ipproto_ipv6("IPV6_TCLASS", 67, TRAFFIC_CLASS),
        meaning="The traffic class of sent packets.",
        use=_DSCP_USE,
        caveat="Other networks may clear or change it.",
        example="EF",
        read_back_note=_ECN_CLEARED,
        aliases=Aliases(socat="ipv6-tclass"),
    ),
    Option(
        sol_socket("SO_PRIORITY", 12, Integer(-(2**31), 2**31 - 1)),
        meaning="The queueing priority of sent packets.",
        use="Use it if the queueing discipline of the interface has bands or classes by priority.",
        caveat="It is not part of the packet. IP_TOS sets it too, so echotime sets IP_TOS first.",
        example="5",
        on_accept=OnAccept.REAPPLIED,
        privilege=Privilege("CAP_NET_ADMIN (or CAP_NET_RAW since Linux 5.17) for values below 0 and above 6", "7"),
        aliases=Aliases("Priority=", "so-priority"),
    ),
    Option(
        sol_socket("SO_MARK", 36, Integer(0, 2**32 - 1, signed=False)),
        meaning="The mark of sent packets, for routing rules and netfilter.",
        use="Send answers by another routing table (ip rule fwmark).",
        caveat="It is not part of the packet. A mark that no rule matches has no effect.",
        example="1",
        privilege=Privilege("CAP_NET_ADMIN (or CAP_NET_RAW since Linux 5.17)", "1"),
        aliases=Aliases("Mark="),
    ),
    *ipv6_twin(
        Option(
            ipproto_ip("IP_TTL", 2, Integer(1, 255, "", {"default": -1})),
            meaning="The time to live (TTL) of sent packets.",
            use="Lower it to limit the number of hops, or use 255 for peers that check it (RFC 5082).",
            caveat="If it is too low, answers are lost on the way and the client times out.",
            example="5",
            read_back_note=ReadBackNote(DEFAULT_RESOLVED, "default"),
            aliases=Aliases("IPTTL=", "ip-ttl"),
        ),
        ipproto_ipv6("IPV6_UNICAST_HOPS", 16, HOP_LIMIT),
        "The hop limit of sent packets.",
        aliases=Aliases("IPTTL=", "ipv6-unicast-hops"),
    ),
    Option(
        ipproto_ip(
            "IP_MTU_DISCOVER", 10, Choice({"dont": 0, "want": 1, "do": 2, "probe": 3, "interface": 4, "omit": 5})
        ),
        meaning="Path MTU discovery: do always sets the don't-fragment bit, dont never does.",
        use="Use do or probe to find the path MTU, and dont where ICMP is filtered.",
        caveat="With do, a datagram larger than the path MTU is lost until the MTU is known, and then refused "
        "(EMSGSIZE).",
        example="do",
        aliases=Aliases(socat="ip-mtu-discover"),
    ),
    Option(
        ipproto_ipv6("IPV6_DONTFRAG", 62, FLAG, UDP),
        meaning="Do not fragment what this host sends; IPv6 routers never fragment.",
        use="Find the path MTU.",
        caveat="A datagram larger than the path MTU is dropped, or refused (EMSGSIZE).",
        hazard=Hazard(UDP, ON, "a datagram larger than the path MTU is lost instead of fragmented"),
    ),
)
