"""Describe the options for local addresses, ports and interfaces."""

from __future__ import annotations

from echotime.sockopt.catalogue.common import FLAG, NONZERO, ON, ipproto_ip, ipproto_ipv6, ipv6_twin, sol_socket
from echotime.sockopt.option import BOTH, UDP, Aliases, Hazard, Option, Privilege, ReadBackNote, SetDeadline, SocketRole
from echotime.sockopt.structures import CString
from echotime.sockopt.values import N_, Integer

TITLE = N_("Addresses and ports")
INTRODUCTION = "The address, port and interface of a socket, and which sockets may share them."

INTERFACE_NAME = CString(N_("an interface name of at most 15 bytes, such as eth0"))
_DEVICE_PRIVILEGE = "CAP_NET_RAW to change or clear it; before Linux 5.7, also to set it"
_FREEBIND_USE = (
    "Use it for services that start before their address exists: VRRP, boot order, an interface that appears later."
)

ROWS: tuple[Option, ...] = (
    Option(
        sol_socket("SO_REUSEADDR", 2, FLAG),
        meaning="Allow bind to a port while connections of an earlier server on it are in TIME_WAIT.",
        use="Set it on every TCP server, so that a restarted server can bind at once.",
        caveat="Set it before bind; the earlier server must have set it too. It never lets two sockets listen on the "
        "same address and port. On UDP it means something else: sockets of any user that set it share the port, and "
        "one of them receives the datagrams. UDP has no TIME_WAIT, so echotime sets it on UDP only on request.",
        hazard=Hazard(UDP, ON, "any process of any user that also sets it can bind this port and take our datagrams"),
        aliases=Aliases(socat="so-reuseaddr"),
    ),
    Option(
        sol_socket("SO_REUSEPORT", 15, FLAG),
        meaning="Let several sockets of one user share a port; the kernel distributes connections or senders among "
        "them.",
        use="Run one daemon per CPU, or start a new daemon before the old one stops.",
        caveat="A socket that joins must set it before bind; a socket that is already bound may set it at any time. A "
        "listener that does not accept still gets its share of the connections. When it closes, the connections in its "
        "accept queue are reset.",
        hazard=Hazard(BOTH, ON, "a second daemon of the same user starts on this port instead of failing"),
        aliases=Aliases("ReusePort=", "so-reuseport"),
    ),
    Option(
        sol_socket("SO_BINDTODEVICE", 25, INTERFACE_NAME),
        meaning="Receive and send through one network interface only.",
        use="Serve one side of a multihomed host, whatever its addresses, or serve inside a VRF.",
        caveat="The interface must exist at start. A listener bound to an interface other than lo refuses connections "
        "to 127.0.0.1, but still accepts connections from this host to the interface's own address.",
        example="lo",
        privilege=Privilege(_DEVICE_PRIVILEGE, example="", initial="lo"),
        aliases=Aliases("BindToDevice=", "so-bindtodevice"),
    ),
    Option(
        sol_socket("SO_BINDTOIFINDEX", 62, Integer(0, 2**31 - 1)),
        meaning="SO_BINDTODEVICE by interface index; 0 for no interface.",
        use="Use it where the interface may be renamed.",
        caveat="An interface that is deleted and created again has a new index. The kernel accepts an index that does "
        "not exist without an error.",
        example="1",
        privilege=Privilege(_DEVICE_PRIVILEGE, example="0", initial="1"),
        hazard=Hazard(BOTH, NONZERO, "the socket receives nothing once the interface with this index is gone"),
    ),
    Option(
        ipproto_ipv6("IPV6_V6ONLY", 26, FLAG, roles=(SocketRole.LISTENER, SocketRole.UDP)),
        meaning="Serve IPv6 only; if off, a socket on [::] serves IPv4 as well.",
        use="Turn it on to bind a second socket, for IPv4, to the same port.",
        caveat="The daemon turns it off on [::], whatever net.ipv6.bindv6only is. After bind it is refused (EINVAL). "
        "If off, IPv4 peers appear as ::ffff:192.0.2.1.",
        set_deadline=SetDeadline.BEFORE_BIND,
        read_back_note=ReadBackNote("a socket bound to an IPv6 address other than [::] serves IPv6 only", "off"),
        aliases=Aliases("BindIPv6Only=", "ipv6-v6only"),
    ),
    Option(
        ipproto_ip("IP_FREEBIND", 15, FLAG),
        meaning="Allow bind to an IPv4 or IPv6 address that this host does not have yet.",
        use=_FREEBIND_USE,
        caveat="After bind it is accepted, but has no effect.",
        set_deadline=SetDeadline.BEFORE_BIND,
        versions=(4, 6),
        aliases=Aliases("FreeBind=", "ip-freebind"),
    ),
    Option(
        ipproto_ipv6("IPV6_FREEBIND", 78, FLAG),
        meaning="Allow bind to an IPv6 address that this host does not have yet.",
        use=_FREEBIND_USE,
        caveat="To bind to such an address, set it before bind. Set later, it allows sending from such an address.",
        aliases=Aliases("FreeBind="),
    ),
    *ipv6_twin(
        Option(
            ipproto_ip("IP_TRANSPARENT", 19, FLAG),
            meaning="Bind to IPv4 or IPv6 addresses that do not belong to this host, and accept connections to them.",
            use="Use it for a transparent proxy, with a policy route or a TPROXY rule that delivers the packets here.",
            caveat="Packets for such addresses that are routed here are accepted as soon as it is set. To bind to such "
            "an address, set it before bind.",
            versions=(4, 6),
            privilege=Privilege("CAP_NET_RAW or CAP_NET_ADMIN", example="on"),
            hazard=Hazard(BOTH, ON, "the daemon also serves addresses that are not this host's, if routed here"),
            aliases=Aliases("Transparent=", "ip-transparent"),
        ),
        ipproto_ipv6("IPV6_TRANSPARENT", 75, FLAG),
        aliases=Aliases("Transparent="),
    ),
)
