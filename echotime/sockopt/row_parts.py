"""What rows of several levels share: forms, and sentences about the kernel's habits. The rows are beside this."""

from __future__ import annotations

from echotime.sockopt.forms import Integer
from echotime.sockopt.option import Danger

BOTH = ("tcp", "udp")
UDP = ("udp",)
TCP = ("tcp",)
BYTES = Integer(0, 2**31 - 1, "bytes")
_DSCP = {
    **{f"CS{n}": n << 5 for n in range(8)},
    **{f"AF{c}{d}": (c << 5) | (d << 3) for c in (1, 2, 3, 4) for d in (1, 2, 3)},
    "EF": 0xB8,
    "lowdelay": 0x10,
    "throughput": 0x08,
    "reliability": 0x04,
}
TRAFFIC_CLASS = Integer(0, 255, "", _DSCP)
ECN = "on TCP the two ECN bits are the kernel's own and are cleared"
DEFAULT = "the default reads back as the number it stands for"
ERRORS_TRAP = (
    "On UDP errors of earlier answers then surface at the next call. A server that takes such an error for its own "
    "goes deaf after one datagram; echotime reads the error queue, counts and goes on. On TCP a single ICMP error ends "
    "the connection, where it would otherwise be tried on."
)
ERRORS_DANGER = Danger("tcp", 1, "a single ICMP error, which others can forge, ends a connection")
