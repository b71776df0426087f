"""Which addresses and ports are bound, and who may share them."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import (
    DEVICE_PRIVILEGE,
    FLAG,
    INTERFACE_NAME,
    ON,
    SET_TOO_LATE,
    TRANSPARENT_HAZARD,
    TRANSPARENT_PRIVILEGE,
    AnyValue,
    ipv4_option,
    ipv6_option,
    socket_option,
)
from echotime.sockopt.option import BOTH, UDP, Aliases, Hazard, Option, Privilege, ReadBackNote, SetDeadline, SocketRole
from echotime.sockopt.values import N_, Integer

TITLE = N_("Addresses and ports")
INTRODUCTION = "Which address, port and interface a socket is bound to, and who may share them."

_FREEBIND_USE = (
    "It is for services that start before their address is there: VRRP, boot order, an interface yet to come."
)
_TRANSPARENT_USE = "For a transparent proxy, together with a policy route or TPROXY rule that brings the packets here."

_TRANSPARENT_CAVEAT = (
    "What is routed here is taken from the moment it is set; to bind to such an address it must be set before bind."
)

ROWS: tuple[Option, ...] = (
    socket_option(
        "SO_REUSEADDR",
        2,
        FLAG,
        BOTH,
        meaning=N_("Bind although connections of an earlier server on the port are still in TIME_WAIT."),
        use=N_("On every TCP server that is to be started again at once."),
        caveat=N_(
            "It must be set before bind, the earlier server must have set it as well, and two that listen are never "
            "allowed. On UDP it means something else: all sockets that have it set, of any user, share the port, and "
            "one of them takes our datagrams. UDP has no TIME_WAIT, so echotime sets it on UDP only if it is asked for."
        ),
        hazard=Hazard(UDP, ON, "any process of any user that sets it too may bind this port and take our datagrams"),
        aliases=Aliases(socat="so-reuseaddr"),
    ),
    socket_option(
        "SO_REUSEPORT",
        15,
        FLAG,
        BOTH,
        meaning="Several sockets of one user share a port; the kernel spreads connections or senders over them.",
        use="To run one daemon a processor, or the new one beside the old while it is replaced.",
        caveat="Who joins must set it before bind; who is there already, at any time. One that listens and does not "
        "accept still gets its share, and what waits in its queue is reset when it closes.",
        hazard=Hazard(BOTH, ON, "a second daemon of the same user starts on this port instead of failing"),
        aliases=Aliases("ReusePort=", "so-reuseport"),
    ),
    socket_option(
        "SO_BINDTODEVICE",
        25,
        INTERFACE_NAME,
        BOTH,
        meaning=N_("Receive and send through one network interface only."),
        use=N_("To serve one side of a host, whatever addresses it has, or inside a VRF."),
        caveat=N_(
            "The interface must exist at start. Bound to another, 127.0.0.1 is refused, and the host's own connections "
            "to the interface's address still come in."
        ),
        example="lo",
        privilege=Privilege(DEVICE_PRIVILEGE, example="", initial="lo"),
        aliases=Aliases("BindToDevice=", "so-bindtodevice"),
    ),
    socket_option(
        "SO_BINDTOIFINDEX",
        62,
        Integer(0, 2**31 - 1),
        BOTH,
        meaning="SO_BINDTODEVICE by the interface's index; 0 for none.",
        use="Where the interface may be renamed.",
        caveat="An interface that is made anew has another index, and an index that nobody has is taken in silence.",
        example="1",
        privilege=Privilege(DEVICE_PRIVILEGE, example="0", initial="1"),
        hazard=Hazard(BOTH, AnyValue(excluded=(0,)), "nothing comes in once the interface of this index is gone"),
    ),
    ipv6_option(
        "IPV6_V6ONLY",
        26,
        FLAG,
        BOTH,
        meaning="Serve IPv6 only; off, a socket on [::] serves IPv4 as well.",
        use="On, beside a second socket for IPv4 on the same port.",
        caveat="The daemon has it off on [::], whatever the system's net.ipv6.bindv6only says. After bind "
        "it is refused "
        "(EINVAL). Off, IPv4 peers appear as ::ffff:192.0.2.1.",
        set_deadline=SetDeadline.BEFORE_BIND,
        roles=(SocketRole.LISTENER, SocketRole.UDP),
        read_back_note=ReadBackNote(
            "a socket bound to an IPv6 address other than [::] speaks IPv6 only", example="off"
        ),
        aliases=Aliases("BindIPv6Only=", "ipv6-v6only"),
    ),
    ipv4_option(
        "IP_FREEBIND",
        15,
        FLAG,
        BOTH,
        meaning="Bind to an address that this host does not have yet, IPv4 or IPv6.",
        use=_FREEBIND_USE,
        caveat=SET_TOO_LATE,
        set_deadline=SetDeadline.BEFORE_BIND,
        versions=(4, 6),
        aliases=Aliases("FreeBind=", "ip-freebind"),
    ),
    ipv6_option(
        "IPV6_FREEBIND",
        78,
        FLAG,
        BOTH,
        meaning="Bind to an IPv6 address that this host does not have yet.",
        use=_FREEBIND_USE,
        caveat="To bind to such an address it must be set before bind; set later it lets answers leave from one.",
        aliases=Aliases("FreeBind="),
    ),
    ipv4_option(
        "IP_TRANSPARENT",
        19,
        FLAG,
        BOTH,
        meaning="Bind to, and take connections for, addresses that are not this host's, IPv4 or IPv6.",
        use=_TRANSPARENT_USE,
        caveat=_TRANSPARENT_CAVEAT,
        versions=(4, 6),
        privilege=Privilege(TRANSPARENT_PRIVILEGE, example="on"),
        hazard=TRANSPARENT_HAZARD,
        aliases=Aliases("Transparent=", "ip-transparent"),
    ),
    ipv6_option(
        "IPV6_TRANSPARENT",
        75,
        FLAG,
        BOTH,
        meaning="IP_TRANSPARENT for IPv6.",
        use=_TRANSPARENT_USE,
        caveat=_TRANSPARENT_CAVEAT,
        privilege=Privilege(TRANSPARENT_PRIVILEGE, example="on"),
        hazard=TRANSPARENT_HAZARD,
        aliases=Aliases("Transparent="),
    ),
)
