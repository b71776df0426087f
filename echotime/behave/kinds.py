"""The table of all kinds of behaviors. A new kind is a class in its own module, and an entry here."""

from __future__ import annotations

from echotime.behave import spec
from echotime.behave.spec import Behavior
from echotime.behave.tcp.behavior import TCPBehavior
from echotime.behave.tcp.latency import Latency
from echotime.behave.udp.behavior import UDPBehavior
from echotime.behave.udp.drop import Drop

TCP_KINDS: dict[str, type[TCPBehavior]] = {
    each.name: each
    for each in (
        Latency,
        TCPBehavior,
    )
}
UDP_KINDS: dict[str, type[UDPBehavior]] = {each.name: each for each in (Drop,)}


def parse_behavior(text: str) -> Behavior:
    """Parse the behavior of a listener. Raises ValueError. A kind of both tables opens a listener of each transport."""
    return spec.parse_behavior(text, [*TCP_KINDS.values(), *UDP_KINDS.values()])
