"""Describe the options for routes, broadcast and multicast."""

from __future__ import annotations

import socket

from echotime.sockopt.catalogue.common import (
    DEFAULT_RESOLVED,
    FLAG,
    HOP_LIMIT,
    AnyValue,
    ipproto_ip,
    ipproto_ipv6,
    ipv6_twin,
    sol_socket,
)
from echotime.sockopt.option import UDP, Aliases, Hazard, Option, Readable, ReadBackNote, SocketRole
from echotime.sockopt.structures import InAddr, MulticastGroup
from echotime.sockopt.values import N_

TITLE = N_("Routes, broadcast and multicast")
INTRODUCTION = "How far packets go, and which hosts receive them."

_UDP_ROLES = (SocketRole.UDP,)
_GROUP = MulticastGroup(socket.AF_INET, N_("a multicast group such as 239.1.2.3 or 239.1.2.3%eth0"))
_GROUP6 = MulticastGroup(socket.AF_INET6, N_("a multicast group such as ff02::1234%eth0"))
_SENDER_CAVEAT = "It does not help a server that answers each sender separately."
_SENDER_HAZARD = Hazard(UDP, AnyValue(), "it has no effect: each answer goes to one sender")

ROWS: tuple[Option, ...] = (
    Option(
        sol_socket("SO_DONTROUTE", 5, FLAG),
        meaning="Send to directly connected networks only, never through a gateway.",
        use="Answer clients on the local network only.",
        caveat="A client behind a gateway gets no answer: TCP times out, UDP answers fail with ENETUNREACH. On IPv6 "
        "it is accepted, but has no effect.",
        versions=(4,),
        aliases=Aliases(socat="so-dontroute"),
    ),
    Option(
        sol_socket("SO_BROADCAST", 6, FLAG, UDP),
        meaning="Allow sending to a broadcast address; without it, sending fails with EACCES.",
        use="Use it in clients that send a request to every host on a network.",
        caveat="Receiving broadcasts needs no option.",
        aliases=Aliases("Broadcast=", "so-broadcast"),
    ),
    *ipv6_twin(
        Option(
            ipproto_ip("IP_ADD_MEMBERSHIP", 35, _GROUP, UDP, _UDP_ROLES),
            meaning="Join a multicast group, so that its datagrams are received too.",
            use="Let clients that do not know the address find the server, as in service discovery.",
            caveat="Every member answers each request. If the source address of a request is forged, all members "
            "answer to that address. A socket bound to a unicast address receives nothing from the group.",
            example="239.1.2.3%lo",
            readable=Readable.NO,
            hazard=Hazard(UDP, AnyValue(), "every member of the group answers each request to it"),
            aliases=Aliases(socat="ip-add-membership"),
        ),
        ipproto_ipv6("IPV6_JOIN_GROUP", 20, _GROUP6, UDP, _UDP_ROLES),
        example="ff02::1234%lo",
        aliases=Aliases(socat="ipv6-join-group"),
    ),
    Option(
        ipproto_ip("IP_MULTICAST_ALL", 49, FLAG, UDP),
        meaning="Receive, on a wildcard address, datagrams for all groups that any socket of this host has joined.",
        use="Turn it off to receive only the groups that this socket has joined.",
        caveat="It is on by default, so a socket on a wildcard address receives groups that it did not join.",
        example="off",
        hazard=Hazard(UDP, (0,), "requests to groups that other sockets joined are no longer answered"),
    ),
    Option(
        ipproto_ip("IP_MULTICAST_IF", 32, InAddr(), UDP, _UDP_ROLES),
        meaning="The interface for sent multicast datagrams.",
        use="Use it in senders on hosts with several interfaces.",
        caveat=_SENDER_CAVEAT,
        example="127.0.0.1",
        hazard=_SENDER_HAZARD,
        aliases=Aliases(socat="ip-multicast-if"),
    ),
    *ipv6_twin(
        Option(
            ipproto_ip("IP_MULTICAST_TTL", 33, HOP_LIMIT, UDP, _UDP_ROLES),
            meaning="The time to live of sent multicast datagrams; 1, the default, stays on the local network.",
            use="Raise it in senders whose groups are routed.",
            caveat=_SENDER_CAVEAT,
            example="5",
            read_back_note=ReadBackNote(DEFAULT_RESOLVED, "default", transport="udp"),
            hazard=_SENDER_HAZARD,
            aliases=Aliases(socat="ip-multicast-ttl"),
        ),
        ipproto_ipv6("IPV6_MULTICAST_HOPS", 18, HOP_LIMIT, UDP, _UDP_ROLES),
        "The hop limit of sent multicast datagrams.",
    ),
    *ipv6_twin(
        Option(
            ipproto_ip("IP_MULTICAST_LOOP", 34, FLAG, UDP),
            meaning="Deliver sent multicast datagrams to members on this host, too.",
            use="Turn it off so that a member does not receive its own datagrams.",
            caveat=_SENDER_CAVEAT,
            example="off",
            hazard=_SENDER_HAZARD,
            aliases=Aliases(socat="ip-multicast-loop"),
        ),
        ipproto_ipv6("IPV6_MULTICAST_LOOP", 19, FLAG, UDP),
    ),
)
