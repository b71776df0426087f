"""The source of a datagram, with what the kernel reports of it: where it was sent to, its TTL and its TOS.

The destination becomes the control message that makes the reply leave from there. Without it a reply from a socket on a
wildcard address leaves from the address that the route prefers. A client that sent to another address does not receive
such a reply. See ip(7) IP_PKTINFO and RFC 3542 section 6.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterable
from typing import Any

from echotime.sockopt.catalogue.index import BY_NAME

ANCILLARY_SIZE = 512
"""Bytes for all control messages that the socket options of the catalogue can add to a datagram."""

ControlMessage = tuple[int, int, bytes]

IP_PKTINFO = BY_NAME["IP_PKTINFO"].number
IPV6_PKTINFO = 50
"""The message that IPV6_RECVPKTINFO adds; Python's constant is missing on some builds."""
_IP_ORIGDSTADDR, _IPV6_ORIGDSTADDR = 20, 74
"""Options, and their messages, that report the destination only and leave the source of replies to the route."""
_IPV4_OPTIONS = (socket.IPPROTO_IP, IP_PKTINFO, _IP_ORIGDSTADDR)
_IPV6_OPTIONS = (socket.IPPROTO_IPV6, BY_NAME["IPV6_RECVPKTINFO"].number, _IPV6_ORIGDSTADDR)
DESTINATION_OPTIONS = {socket.AF_INET: (_IPV4_OPTIONS,), socket.AF_INET6: (_IPV6_OPTIONS, _IPV4_OPTIONS)}
"""By family: the level of the two options that report destinations. IPV6_RECVPKTINFO reports those of IPv4, too."""
HEADER_OPTIONS = {
    socket.AF_INET: ("IP_RECVTTL", "IP_RECVTOS"),
    socket.AF_INET6: ("IPV6_RECVHOPLIMIT", "IPV6_RECVTCLASS", "IP_RECVTTL", "IP_RECVTOS"),
}
"""By family: the options that report `ttl` and `tos`. On an IPv6 socket those of IPv4 are for IPv4 clients."""
_HEADER_FIELDS = {
    (socket.IPPROTO_IP, 2): "ttl",
    (socket.IPPROTO_IPV6, 52): "ttl",
    (socket.IPPROTO_IP, 1): "tos",
    (socket.IPPROTO_IPV6, 67): "tos",
}
"""By level and type: IP_TTL, IPV6_HOPLIMIT, IP_TOS (1 byte, the others 4 in host order) and IPV6_TCLASS."""
_IN_PKTINFO = struct.Struct("=I4s4s")
_IN6_PKTINFO = struct.Struct("=16sI")
_SOCKADDR_IN6_SIZE = 28
_UNSPECIFIED_ADDRESS = bytes(4)
_MULTICAST_FIRST_BYTE = 0xFF
"""The first byte of IPv6 multicast addresses."""


class SourceAddress(tuple[Any, ...]):
    """Hold a datagram's source address as the socket module returns it, with the control messages for the reply."""

    ancillary: tuple[ControlMessage, ...] = ()
    destination: tuple[Any, ...] | None = None
    """The destination as the socket module returns it, if that alone was reported, not a source for replies."""
    size = 0
    """The length of the datagram in bytes, as the port has set it. Fewer may have been kept."""
    multicast_destination = False
    """True if the datagram was sent to a broadcast or multicast address, as far as the kernel reports that."""
    is_own_address = False
    """True if the sender has the socket's port and an address of its host."""
    is_unspecified = False
    """True if the source is 0.0.0.0 or ``::``."""
    reply_failed = False
    """True if the reply could not be sent."""
    ordinary = False
    """True if the port has checked that none of the above is True."""
    ttl: int | None = None
    """The TTL or hop limit with which the datagram arrived; None if the kernel did not report it."""
    tos: int | None = None
    """The TOS byte or traffic class, DSCP and ECN, with which the datagram arrived; None likewise."""

    @property
    def host(self) -> str:
        """Return the numeric host, with the interface number of a link-local address: ``fe80::1%2``."""
        return f"{self[0]}%{self[3]}" if self[3:] and self[3] else str(self[0])

    @property
    def reply_host(self) -> str | None:
        """Return the address that the reply leaves from, without its interface; None if that is up to the port."""
        for level, _kind, data in self.ancillary:
            if level == socket.IPPROTO_IP:
                return socket.inet_ntoa(_IN_PKTINFO.unpack(data)[1])
            return socket.inet_ntop(socket.AF_INET6, _IN6_PKTINFO.unpack(data)[0])
        return None

    @classmethod
    def from_recvmsg(cls, address: tuple[Any, ...], control_messages: Iterable[ControlMessage]) -> SourceAddress:
        """Return the source with the control messages for a reply, made from those that recvmsg returned."""
        source = cls(address)
        for level, kind, data in control_messages:
            if level == socket.IPPROTO_IP and kind == IP_PKTINFO:
                # for a broadcast destination, too, the second field is a local address; the route decides the interface
                _, local, destination = _IN_PKTINFO.unpack(data)
                source.ancillary = (ipv4_pktinfo(local),)
                source.multicast_destination = local != destination
            elif level == socket.IPPROTO_IPV6 and kind == IPV6_PKTINFO:
                source.ancillary = _ipv6_source(data)
                source.multicast_destination = data[0] == _MULTICAST_FIRST_BYTE
            elif level == socket.IPPROTO_IP and kind == _IP_ORIGDSTADDR:
                host, port = unpack_sockaddr(data)
                is_mapped = len(address) > len((host, port))  # on an IPv6 socket
                source.destination = (f"::ffff:{host}", port, 0, 0) if is_mapped else (host, port)
            elif level == socket.IPPROTO_IPV6 and kind == _IPV6_ORIGDSTADDR:
                source.destination = unpack_sockaddr(data)
            elif field := _HEADER_FIELDS.get((level, kind)):
                setattr(source, field, int.from_bytes(data, sys.byteorder))
        return source


def _ipv6_source(data: bytes) -> tuple[ControlMessage, ...]:
    destination, interface = _IN6_PKTINFO.unpack(data)
    if destination[0] == _MULTICAST_FIRST_BYTE:  # no source address
        return ()
    link_local = destination[0] == 0xFE and destination[1] & 0xC0 == 0x80
    return (ipv6_pktinfo(destination, interface if link_local else 0),)


def unpack_sockaddr(data: bytes) -> tuple[Any, ...]:
    """Return a sockaddr_in or sockaddr_in6 in the form of the socket module."""
    if len(data) < _SOCKADDR_IN6_SIZE:
        port, packed = struct.unpack_from("!2xH4s", data)
        return socket.inet_ntop(socket.AF_INET, packed), port
    port, flow, packed = struct.unpack_from("!2xHI16s", data)
    (scope,) = struct.unpack_from("=I", data, _SOCKADDR_IN6_SIZE - 4)
    return socket.inet_ntop(socket.AF_INET6, packed), port, flow, scope


def ipv4_pktinfo(address: bytes) -> ControlMessage:
    """Return the control message that makes a datagram leave from a packed IPv4 address."""
    return socket.IPPROTO_IP, IP_PKTINFO, _IN_PKTINFO.pack(0, address, _UNSPECIFIED_ADDRESS)


def ipv6_pktinfo(address: bytes, interface: int) -> ControlMessage:
    """Return the same for IPv6, by an interface number; 0 for the route's interface."""
    return socket.IPPROTO_IPV6, IPV6_PKTINFO, _IN6_PKTINFO.pack(address, interface)
