"""The table of all kinds of behaviors. A new kind is a class in its own module, and an entry here."""

from __future__ import annotations

from echotime.behave import spec
from echotime.behave.spec import Behavior
from echotime.behave.tcp.behavior import TCPBehavior
from echotime.behave.tcp.latency import Latency
from echotime.behave.udp.behavior import UDPBehavior
from echotime.behave.udp.client import UDPClient
from echotime.behave.udp.delay import Delay
from echotime.behave.udp.drop import Drop
from echotime.behave.udp.duplicate import Duplicate
from echotime.behave.udp.extend import Extend
from echotime.behave.udp.reorder import Reorder
from echotime.behave.udp.report import UDPReport
from echotime.behave.udp.truncate import Truncate
from echotime.behave.udp.wrong_source_port import WrongSourcePort

TCP_KINDS: dict[str, type[TCPBehavior]] = {
    each.name: each
    for each in (
        Latency,
        TCPBehavior,
    )
}
UDP_KINDS: dict[str, type[UDPBehavior]] = {
    each.name: each
    for each in (
        Drop,
        Delay,
        Duplicate,
        Reorder,
        Truncate,
        Extend,
        WrongSourcePort,
        UDPReport,
        UDPClient,
    )
}


def parse_behavior(text: str) -> Behavior:
    """Parse the behavior of a listener. Raises ValueError. A kind of both tables opens a listener of each transport."""
    return spec.parse_behavior(text, [*TCP_KINDS.values(), *UDP_KINDS.values()])


def parse_udp_choice(text: str) -> Behavior | None:
    """Parse the behavior that a datagram names, None if it names none. Raises ValueError if the rest is faulty."""
    kind = UDP_KINDS.get(text.partition(":")[0].replace("-", "_"))
    return None if kind in {None, UDPClient} else spec.parse_behavior(text, [kind])
