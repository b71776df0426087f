"""The table of all kinds of behaviors. A new kind is a class in its own module, and an entry here."""

from __future__ import annotations

from collections.abc import Iterable

from echotime.behave import spec
from echotime.behave.spec import Behavior
from echotime.behave.tcp.bandwidth import Bandwidth
from echotime.behave.tcp.behavior import TCPBehavior
from echotime.behave.tcp.client import Client
from echotime.behave.tcp.close_first import CloseFirst
from echotime.behave.tcp.corrupt import Corrupt
from echotime.behave.tcp.duplicate_ack import DuplicateAck
from echotime.behave.tcp.half_close_first import HalfCloseFirst
from echotime.behave.tcp.late_reply import LateReply
from echotime.behave.tcp.latency import Latency
from echotime.behave.tcp.limit_data import LimitData
from echotime.behave.tcp.no_accept import NoAccept
from echotime.behave.tcp.no_read import NoRead
from echotime.behave.tcp.report import Report
from echotime.behave.tcp.reset_peer import ResetPeer
from echotime.behave.tcp.slicer import Slicer
from echotime.behave.tcp.timeout import Timeout
from echotime.behave.tcp.trickle import Trickle
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

_TCP: tuple[type[TCPBehavior], ...] = (
    *(Latency, Bandwidth, Slicer, Trickle, LateReply),
    *(LimitData, ResetPeer, CloseFirst, HalfCloseFirst),
    *(Timeout, NoRead, NoAccept),
    *(DuplicateAck, Corrupt),
    *(TCPBehavior, Report, Client),
)
_UDP: tuple[type[UDPBehavior], ...] = (
    *(Drop, Delay, Duplicate, Reorder),
    *(Truncate, Extend, WrongSourcePort),
    *(UDPReport, UDPClient),
)
TCP_KINDS = {each.name: each for each in _TCP}
UDP_KINDS = {each.name: each for each in _UDP}
_CHOICES = [each for each in _TCP if each not in {Client, NoAccept}]
"""What a client can choose for its connection. A listener has accepted it already."""
_NOT_CHOSEN = {
    **dict.fromkeys(UDP_KINDS.keys() - TCP_KINDS.keys(), "is for UDP"),
    **{each.name: "cannot be chosen by a client" for each in (Client, NoAccept)},
}
"""Why a client cannot choose a kind."""


def transports_of(behavior: Behavior) -> list[str]:
    """Return the transports on which a behavior opens a listener."""
    return ["tcp"] * (behavior.kind in TCP_KINDS) + ["udp"] * (behavior.kind in UDP_KINDS)


def parse_behavior(text: str, others: Iterable[str] = ()) -> Behavior:
    """Parse the behavior of a listener. Raises ValueError, as spec.parse_behavior does.

    A kind of both tables opens a listener of each transport.
    """
    behavior = spec.parse_behavior(text, [*_TCP, *_UDP], others)
    if {"id", "ended"} & behavior.values.keys():
        raise ValueError("id and ended name one connection, so only a client can give them")
    return behavior


def parse_choice(text: str) -> Behavior:
    """Parse the behavior that a TCP client chooses for its connection. Raises ValueError."""
    kind = text.partition(":")[0].replace("-", "_")
    if reason := _NOT_CHOSEN.get(kind):
        raise ValueError(f"{kind} {reason}; expected one of {', '.join(each.name for each in _CHOICES)}")
    return spec.parse_behavior(text, _CHOICES)


def parse_udp_choice(text: str) -> Behavior | None:
    """Parse the behavior that a datagram names, None if it names none. Raises ValueError if the rest is faulty."""
    kind = UDP_KINDS.get(text.partition(":")[0].replace("-", "_"))
    return None if kind in {None, UDPClient} else spec.parse_behavior(text, [kind])
