"""Where packets may go: routes, broadcast, multicast."""

from __future__ import annotations

import socket

from echotime.sockopt.catalogue.common import (
    DEFAULT_RESOLVED,
    FLAG,
    HOP_LIMIT,
    AnyValue,
    ipv4_option,
    ipv6_option,
    socket_option,
)
from echotime.sockopt.option import BOTH, UDP, Aliases, Hazard, Option, Readable, ReadBackNote, SocketRole
from echotime.sockopt.structures import InAddr, MulticastGroup
from echotime.sockopt.values import N_, Integer

TITLE = N_("Routes, broadcast and multicast")
INTRODUCTION = "How far packets go, and who is asked at once."

_UDP_ROLES = (SocketRole.UDP,)
_SENDER_CAVEAT = "A responder that answers each sender alone has no use for it."
_SENDER_HAZARD = Hazard(UDP, AnyValue(), "nothing comes of it: answers go to one sender each")
_GROUP_USE = "To be found by clients that do not know the address, as in service discovery."
_GROUP_CAVEAT = (
    "Every member answers each question; one sent with a forged sender is answered by all of them to it. Nothing is "
    "heard on a socket that is bound to an address of its own."
)
_GROUP_HAZARD = Hazard(UDP, AnyValue(), "questions to the group are answered, by every member of it")

ROWS: tuple[Option, ...] = (
    socket_option(
        "SO_DONTROUTE",
        5,
        FLAG,
        BOTH,
        versions=(4,),
        meaning=N_("Send to directly attached networks only, never through a gateway."),
        use=N_("To answer neighbours only."),
        caveat=N_(
            "A client behind a gateway gets no answer: TCP times out, UDP answers fail with ENETUNREACH. IPv6 takes "
            "it, and nothing comes of it."
        ),
        aliases=Aliases(socat="so-dontroute"),
    ),
    socket_option(
        "SO_BROADCAST",
        6,
        FLAG,
        UDP,
        meaning=N_("Allow sending to a broadcast address; without it such a send fails with EACCES."),
        use=N_("In clients that ask everybody on a network."),
        caveat=N_("Receiving broadcasts needs no option."),
        aliases=Aliases("Broadcast=", "so-broadcast"),
    ),
    ipv4_option(
        "IP_ADD_MEMBERSHIP",
        35,
        MulticastGroup(socket.AF_INET, N_("a multicast group such as 239.1.2.3 or 239.1.2.3%eth0")),
        UDP,
        meaning="Join a multicast group: its datagrams are received too.",
        use=_GROUP_USE,
        caveat=_GROUP_CAVEAT,
        example="239.1.2.3%lo",
        roles=_UDP_ROLES,
        readable=Readable.NO,
        hazard=_GROUP_HAZARD,
        aliases=Aliases(socat="ip-add-membership"),
    ),
    ipv6_option(
        "IPV6_JOIN_GROUP",
        20,
        MulticastGroup(socket.AF_INET6, N_("a multicast group such as ff02::1234%eth0")),
        UDP,
        meaning="IP_ADD_MEMBERSHIP for IPv6.",
        use=_GROUP_USE,
        caveat=_GROUP_CAVEAT,
        example="ff02::1234%lo",
        roles=_UDP_ROLES,
        readable=Readable.NO,
        hazard=_GROUP_HAZARD,
        aliases=Aliases(socat="ipv6-join-group"),
    ),
    ipv4_option(
        "IP_MULTICAST_ALL",
        49,
        FLAG,
        UDP,
        meaning="Receive on a wildcard address what groups get that others of this host have joined.",
        use="Off, to receive one's own groups only.",
        caveat="On unless it is switched off, so a wildcard address hears groups that nobody joined on it.",
        example="off",
        hazard=Hazard(UDP, (0,), "questions to groups that others joined are no longer answered"),
    ),
    ipv4_option(
        "IP_MULTICAST_IF",
        32,
        InAddr(),
        UDP,
        meaning="The interface by which multicast is sent.",
        use="In senders on hosts with several interfaces.",
        caveat=_SENDER_CAVEAT,
        example="127.0.0.1",
        roles=_UDP_ROLES,
        hazard=_SENDER_HAZARD,
        aliases=Aliases(socat="ip-multicast-if"),
    ),
    ipv4_option(
        "IP_MULTICAST_TTL",
        33,
        Integer(0, 255, "", {"default": -1}),
        UDP,
        meaning="The time to live of multicast that is sent; 1, the default, stays on the network.",
        use="In senders whose groups are routed.",
        caveat=_SENDER_CAVEAT,
        example="5",
        roles=_UDP_ROLES,
        read_back_note=ReadBackNote(DEFAULT_RESOLVED, example="default", transport="udp"),
        hazard=_SENDER_HAZARD,
        aliases=Aliases(socat="ip-multicast-ttl"),
    ),
    ipv6_option(
        "IPV6_MULTICAST_HOPS",
        18,
        HOP_LIMIT,
        UDP,
        meaning="The hop limit of multicast that is sent.",
        use="In senders whose groups are routed.",
        caveat=_SENDER_CAVEAT,
        example="5",
        roles=_UDP_ROLES,
        read_back_note=ReadBackNote(DEFAULT_RESOLVED, example="default", transport="udp"),
        hazard=_SENDER_HAZARD,
    ),
    ipv4_option(
        "IP_MULTICAST_LOOP",
        34,
        FLAG,
        UDP,
        meaning="Members on this host receive what it sends to a group, too.",
        use="Off, not to hear oneself.",
        caveat=_SENDER_CAVEAT,
        example="off",
        hazard=_SENDER_HAZARD,
        aliases=Aliases(socat="ip-multicast-loop"),
    ),
    ipv6_option(
        "IPV6_MULTICAST_LOOP",
        19,
        FLAG,
        UDP,
        meaning="IP_MULTICAST_LOOP for IPv6.",
        use="Off, not to hear oneself.",
        caveat=_SENDER_CAVEAT,
        example="off",
        hazard=_SENDER_HAZARD,
    ),
)
