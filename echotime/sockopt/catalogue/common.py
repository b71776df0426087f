"""What rows of several purposes share: how a row of a level begins, forms, and sentences about the kernel's habits."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import partial

from echotime.sockopt.option import BOTH, TCP, TCP_ROLES, Hazard, Option
from echotime.sockopt.structures import CString
from echotime.sockopt.values import N_, Flag, Integer, Value

socket_option = partial(Option, "SOL_SOCKET")
tcp_option = partial(Option, "IPPROTO_TCP", transports=TCP, roles=TCP_ROLES)
ipv4_option = partial(Option, "IPPROTO_IP")
ipv6_option = partial(Option, "IPPROTO_IPV6")


@dataclass(frozen=True)
class AnyValue(Container[Value]):
    """All values, but those named."""

    excluded: tuple[Value, ...] = ()

    def __contains__(self, value: object) -> bool:
        return value not in self.excluded


FLAG = Flag()
ON = frozenset({1})
BYTES = Integer(0, 2**31 - 1, "bytes")
INTERFACE_NAME = CString(N_("an interface name of at most 15 bytes, such as eth0"))
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
HOP_LIMIT = Integer(0, 255, "", {"default": -1})
DEFAULT_RESOLVED = "the default reads back as the number it stands for"
ECN_CLEARED = "on TCP the two ECN bits are the kernel's own and are cleared"
DEVICE_PRIVILEGE = "CAP_NET_RAW to change or clear it, and before Linux 5.7 to set it at all"
TRANSPARENT_PRIVILEGE = "CAP_NET_RAW or CAP_NET_ADMIN"
TRANSPARENT_HAZARD = Hazard(BOTH, ON, "it also serves addresses that are not this host's, if they are routed here")
RECVERR_CAVEAT = (
    "On UDP errors of earlier answers then surface at the next call. A server that takes such an error for its own "
    "goes deaf after one datagram; echotime reads the error queue, counts and goes on. On TCP the next call fails "
    "once, on which a server mostly drops a connection that would have recovered."
)
RECVERR_HAZARD = Hazard(TCP, ON, "a single ICMP error ends a connection; who knows its sequence numbers can forge one")
SET_TOO_LATE = "Set later it is taken, and nothing comes of it."
