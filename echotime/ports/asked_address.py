"""The address a datagram was sent to, as the control message that makes the answer leave from there.

Without it an answer from a socket on a wildcard address leaves from the address the route prefers, and
a client that asked another one never sees it. See ip(7) IP_PKTINFO and RFC 3542 section 6.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Any

from echotime.sockopt.catalogue import BY_NAME

CONTROL_SIZE = 512
"""Room for every control message that the options of the catalogue can add to a datagram."""

ControlMessage = tuple[int, int, bytes]

IP_PKTINFO = BY_NAME["IP_PKTINFO"].number
IPV6_PKTINFO = 50
"""What IPV6_RECVPKTINFO delivers; Python's constant of that name is missing on some builds."""
_IN_PKTINFO = struct.Struct("=I4s4s")
_IN6_PKTINFO = struct.Struct("=16sI")
_NO_ADDRESS = bytes(4)
_MULTICAST = 0xFF
"""The first byte of such IPv6 addresses."""


class Sender(tuple[Any, ...]):
    """A datagram's source as the socket module gives it, with the control messages for its answer."""

    control: tuple[ControlMessage, ...] = ()
    asked_many = False
    """Whether it asked a broadcast or multicast address, where that is told."""

    @classmethod
    def of(cls, address: tuple[Any, ...], received: Iterable[ControlMessage]) -> Sender:
        """The source and what recvmsg's control messages say about the address that was asked."""
        sender = cls(address)
        for level, kind, data in received:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                # the local address stands there also where a broadcast address was asked; the way back is the route's
                _, local, asked = _IN_PKTINFO.unpack(data)
                sender.control = (from_ipv4(local),)
                sender.asked_many = local != asked
            elif level == socket.IPPROTO_IPV6 and kind == IPV6_PKTINFO:
                sender.control = _ipv6(data)
                sender.asked_many = data[0] == _MULTICAST
        return sender


def _ipv6(data: bytes) -> tuple[ControlMessage, ...]:
    asked, interface = _IN6_PKTINFO.unpack(data)
    if asked[0] == _MULTICAST:  # no source address
        return ()
    link_local = asked[0] == 0xFE and asked[1] & 0xC0 == 0x80
    return (from_ipv6(asked, interface if link_local else 0),)


def from_ipv4(address: bytes) -> ControlMessage:
    """What makes a datagram leave from a packed address."""
    return socket.IPPROTO_IP, IP_PKTINFO, _IN_PKTINFO.pack(0, address, _NO_ADDRESS)


def from_ipv6(address: bytes, interface: int) -> ControlMessage:
    """The same, over an interface by its number; 0 for the route's."""
    return socket.IPPROTO_IPV6, IPV6_PKTINFO, _IN6_PKTINFO.pack(address, interface)
