"""The address a datagram was sent to, as the control message that makes the answer leave from there.

Without it an answer from a socket on a wildcard address leaves from the address the route prefers, and
a client that asked another one never sees it. See ip(7) IP_PKTINFO and RFC 3542 section 6.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Any

from echotime.sockopt.catalogue.index import BY_NAME

ANCILLARY_SIZE = 512
"""Room for every control message that the options of the catalogue can add to a datagram."""

ControlMessage = tuple[int, int, bytes]

IP_PKTINFO = BY_NAME["IP_PKTINFO"].number
IPV6_PKTINFO = 50
"""What IPV6_RECVPKTINFO delivers; Python's constant of that name is missing on some builds."""
_IN_PKTINFO = struct.Struct("=I4s4s")
_IN6_PKTINFO = struct.Struct("=16sI")
_UNSPECIFIED_ADDRESS = bytes(4)
_MULTICAST_FIRST_BYTE = 0xFF
"""The first byte of such IPv6 addresses."""


class SourceAddress(tuple[Any, ...]):
    """A datagram's source as the socket module gives it, with the control messages for its answer."""

    ancillary: tuple[ControlMessage, ...] = ()
    multicast_destination = False
    """Whether it asked a broadcast or multicast address, where that is told."""

    @classmethod
    def from_recvmsg(cls, address: tuple[Any, ...], control_messages: Iterable[ControlMessage]) -> SourceAddress:
        """The source and what recvmsg's control messages say about the address that was asked."""
        source = cls(address)
        for level, kind, data in control_messages:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                # the local address stands there also where a broadcast address was asked; the way back is the route's
                _, local, destination = _IN_PKTINFO.unpack(data)
                source.ancillary = (ipv4_pktinfo(local),)
                source.multicast_destination = local != destination
            elif level == socket.IPPROTO_IPV6 and kind == IPV6_PKTINFO:
                source.ancillary = _ipv6_source(data)
                source.multicast_destination = data[0] == _MULTICAST_FIRST_BYTE
        return source


def _ipv6_source(data: bytes) -> tuple[ControlMessage, ...]:
    destination, interface = _IN6_PKTINFO.unpack(data)
    if destination[0] == _MULTICAST_FIRST_BYTE:  # no source address
        return ()
    link_local = destination[0] == 0xFE and destination[1] & 0xC0 == 0x80
    return (ipv6_pktinfo(destination, interface if link_local else 0),)


def ipv4_pktinfo(address: bytes) -> ControlMessage:
    """What makes a datagram leave from a packed address."""
    return socket.IPPROTO_IP, IP_PKTINFO, _IN_PKTINFO.pack(0, address, _UNSPECIFIED_ADDRESS)


def ipv6_pktinfo(address: bytes, interface: int) -> ControlMessage:
    """The same, over an interface by its number; 0 for the route's."""
    return socket.IPPROTO_IPV6, IPV6_PKTINFO, _IN6_PKTINFO.pack(address, interface)
