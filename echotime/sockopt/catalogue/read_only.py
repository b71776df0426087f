"""What can only be read."""

from __future__ import annotations

from echotime.sockopt import meminfo, tcp_info
from echotime.sockopt.catalogue.common import ipv4_option, socket_option, tcp_option
from echotime.sockopt.option import BOTH, Aliases, Option, Readable, SocketRole
from echotime.sockopt.structures import ReadOnlyStruct
from echotime.sockopt.values import N_, Choice, Integer

TITLE = N_("What can only be read")
INTRODUCTION = "What the kernel tells about a socket."

_ANY_INT = Integer(-(2**31), 2**31 - 1)


def _format_meminfo(raw: bytes) -> str:
    return ", ".join(f"{name} {number}" for name, number in meminfo.unpack(raw).items())


def _format_tcp_info(raw: bytes) -> str:
    return str(tcp_info.unpack(raw))


ROWS: tuple[Option, ...] = (
    tcp_option(
        "TCP_INFO",
        11,
        ReadOnlyStruct(256, _format_tcp_info),
        meaning="The kernel's view of a connection; on a listener, how many connections wait and how many may.",
        settable=False,
        aliases=Aliases(socat="tcp-info"),
    ),
    socket_option(
        "SO_MEMINFO",
        meminfo.SO_MEMINFO,
        ReadOnlyStruct(meminfo.SIZE, _format_meminfo),
        BOTH,
        meaning="Nine counters of the socket's memory; the last is the number of datagrams dropped.",
        settable=False,
    ),
    ipv4_option(
        "IP_MTU",
        14,
        _ANY_INT,
        BOTH,
        meaning="The path MTU that is known for a connected socket.",
        settable=False,
        roles=(SocketRole.CONNECTION,),
        aliases=Aliases(socat="ip-mtu"),
    ),
    socket_option(
        "SO_ERROR",
        4,
        _ANY_INT,
        BOTH,
        meaning="The error that waits to be reported, as an errno; 0 for none.",
        settable=False,
        readable=Readable.ONCE,
        aliases=Aliases(socat="so-error"),
    ),
    socket_option(
        "SO_COOKIE",
        57,
        Integer(0, 2**64 - 1, size=8),
        BOTH,
        meaning="A number that no other socket has until the next boot; eBPF and, in hexadecimal, ss -e show the same.",
        settable=False,
    ),
    socket_option(
        "SO_ACCEPTCONN",
        30,
        Choice({"no": 0, "yes": 1}),
        BOTH,
        meaning="Whether the socket listens.",
        settable=False,
        aliases=Aliases(socat="so-acceptconn"),
    ),
    socket_option(
        "SO_TYPE",
        3,
        Choice({"stream": 1, "datagram": 2}),
        BOTH,
        meaning="The type that socket was called with.",
        settable=False,
        aliases=Aliases(socat="so-type"),
    ),
    socket_option(
        "SO_DOMAIN",
        39,
        Choice({"inet": 2, "inet6": 10}),
        BOTH,
        meaning="The address family that socket was called with.",
        settable=False,
    ),
    socket_option(
        "SO_PROTOCOL",
        38,
        Choice({"tcp": 6, "udp": 17}),
        BOTH,
        meaning="The protocol of the socket.",
        settable=False,
        aliases=Aliases(socat="so-protocol"),
    ),
)
