"""What rows of several purposes share: how a row of a level begins, forms, and sentences about the kernel's habits."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from functools import partial

from echotime.sockopt.forms import N_, Flag, Integer, Value
from echotime.sockopt.option import BOTH, ON_TCP, TCP, Danger, Option
from echotime.sockopt.structures import Name

socket_option = partial(Option, "SOL_SOCKET")
tcp_option = partial(Option, "IPPROTO_TCP", transports=TCP, places=ON_TCP)
ipv4_option = partial(Option, "IPPROTO_IP")
ipv6_option = partial(Option, "IPPROTO_IPV6")


@dataclass(frozen=True)
class Every(Container[Value]):
    """All values, but those named."""

    but: tuple[Value, ...] = ()

    def __contains__(self, value: object) -> bool:
        return value not in self.but


FLAG = Flag()
ON = frozenset({1})
BYTES = Integer(0, 2**31 - 1, "bytes")
DEVICE = Name(N_("an interface name of at most 15 bytes, such as eth0"))
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
HOPS = Integer(0, 255, "", {"default": -1})
DEFAULT = "the default reads back as the number it stands for"
ECN = "on TCP the two ECN bits are the kernel's own and are cleared"
DEVICE_NEEDS = "CAP_NET_RAW to change or clear it, and before Linux 5.7 to set it at all"
MAY_TRANSPARENT = "CAP_NET_RAW or CAP_NET_ADMIN"
TRANSPARENT_DANGER = Danger(BOTH, ON, "it also serves addresses that are not this host's, if they are routed here")
ERRORS_TRAP = (
    "On UDP errors of earlier answers then surface at the next call. A server that takes such an error for its own "
    "goes deaf after one datagram; echotime reads the error queue, counts and goes on. On TCP the next call fails "
    "once, on which a server mostly drops a connection that would have recovered."
)
ERRORS_DANGER = Danger(TCP, ON, "a single ICMP error ends a connection; who knows its sequence numbers can forge one")
LATE_OPTION = "Set later it is taken, and nothing comes of it."
