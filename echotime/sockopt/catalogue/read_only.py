"""Describe the options that can only be read."""

from __future__ import annotations

from echotime.sockopt import meminfo, tcp_info
from echotime.sockopt.catalogue.common import ipproto_ip, ipproto_tcp, sol_socket
from echotime.sockopt.option import BOTH, Aliases, Option, Readable, SocketRole
from echotime.sockopt.structures import ReadOnlyStruct
from echotime.sockopt.values import N_, Choice, Integer

TITLE = N_("Read-only options")
INTRODUCTION = "What the kernel reports about a socket."

_ANY_INT = Integer(-(2**31), 2**31 - 1)


def _format_meminfo(raw: bytes) -> str:
    return ", ".join(f"{name} {number}" for name, number in meminfo.unpack(raw).items())


def _format_tcp_info(raw: bytes) -> str:
    return str(tcp_info.unpack(raw))


ROWS: tuple[Option, ...] = (
    Option(
        ipproto_tcp("TCP_INFO", 11, ReadOnlyStruct(256, _format_tcp_info)),
        meaning="The state of a connection in the kernel; on a listener, the length and the limit of the accept queue.",
        settable=False,
        aliases=Aliases(socat="tcp-info"),
    ),
    Option(
        sol_socket("SO_MEMINFO", meminfo.SO_MEMINFO, ReadOnlyStruct(meminfo.SIZE, _format_meminfo)),
        meaning="Nine counters of the socket's memory; the last is the number of datagrams dropped.",
        settable=False,
    ),
    Option(
        ipproto_ip("IP_MTU", 14, _ANY_INT, BOTH, (SocketRole.CONNECTION,)),
        meaning="The known path MTU of a connected socket.",
        settable=False,
        aliases=Aliases(socat="ip-mtu"),
    ),
    Option(
        sol_socket("SO_ERROR", 4, _ANY_INT),
        meaning="The pending error as an errno; 0 for none.",
        settable=False,
        readable=Readable.ONCE,
        aliases=Aliases(socat="so-error"),
    ),
    Option(
        sol_socket("SO_COOKIE", 57, Integer(0, 2**64 - 1, size=8)),
        meaning="A number that no other socket has until the next boot; eBPF shows it, and ss -e in hexadecimal.",
        settable=False,
    ),
    Option(
        sol_socket("SO_ACCEPTCONN", 30, Choice({"no": 0, "yes": 1})),
        meaning="Yes if the socket listens.",
        settable=False,
        aliases=Aliases(socat="so-acceptconn"),
    ),
    Option(
        sol_socket("SO_TYPE", 3, Choice({"stream": 1, "datagram": 2})),
        meaning="The type that was passed to socket(2).",
        settable=False,
        aliases=Aliases(socat="so-type"),
    ),
    Option(
        sol_socket("SO_DOMAIN", 39, Choice({"inet": 2, "inet6": 10})),
        meaning="The address family that was passed to socket(2).",
        settable=False,
    ),
    Option(
        sol_socket("SO_PROTOCOL", 38, Choice({"tcp": 6, "udp": 17})),
        meaning="The protocol of the socket.",
        settable=False,
        aliases=Aliases(socat="so-protocol"),
    ),
)
