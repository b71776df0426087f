"""A classic BPF program that makes the kernel drop datagrams by source port. See socket(7) SO_ATTACH_FILTER.

No reply can be sent to port 0, and clients seldom send from a port below 1024. The services there would answer a reply:
echo (7), daytime (13), chargen (19), time (37), DNS (53), NTP (123). A forged datagram from there would start a loop.

An IPv6 packet may have a source such as ::ffff:127.0.0.1. A socket cannot tell it from an IPv4 packet from 127.0.0.1,
and the reply might go there. So the kernel drops such packets, too (draft-itojun-v6ops-v4mapped-harmful).
"""

from __future__ import annotations

import socket
import struct
from array import array

_SO_ATTACH_FILTER = 26
_SOCK_FILTER = struct.Struct("=HBBI")
_LOAD_WORD, _LOAD_HALF_WORD, _JUMP_IF_GREATER_OR_EQUAL, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x28, 0x35, 0x15, 0x06
_AD_PROTOCOL = 2**32 - 0x1000
"""SKF_AD_PROTOCOL of linux/filter.h: the offset that loads the Ethernet type."""
_NET_OFF = 2**32 - 0x100000
"""SKF_NET_OFF of linux/filter.h: the offset of the IP header."""
_ETH_P_IPV6 = 0x86DD
_DROP_V4MAPPED = (
    (_LOAD_WORD, 0, 0, _AD_PROTOCOL),
    (_JUMP_IF_EQUAL, 0, 7, _ETH_P_IPV6),
    (_LOAD_WORD, 0, 0, _NET_OFF + 8),  # the source address
    (_JUMP_IF_EQUAL, 0, 5, 0),
    (_LOAD_WORD, 0, 0, _NET_OFF + 12),
    (_JUMP_IF_EQUAL, 0, 3, 0),
    (_LOAD_WORD, 0, 0, _NET_OFF + 16),
    (_JUMP_IF_EQUAL, 0, 1, 0xFFFF),
    (_RETURN, 0, 0, 0),
)
"""Drops IPv6 packets from ::ffff:0:0/96; all others continue behind these instructions."""
_ACCEPT = 0x40000
"""Bytes to keep of an accepted datagram: more than any has."""


def build_program(min_port: int, own_port: int = 0, *, ipv6: bool = False) -> bytes:
    """Return a program that accepts datagrams from ports from `min_port` on, and from `own_port`.

    A socket on a low port must receive its own probes. With `ipv6`, packets with a mapped source are dropped. The
    program sees the UDP header at offset 0.
    """
    instructions = [
        (_LOAD_HALF_WORD, 0, 0, 0),  # the source port
        (_JUMP_IF_GREATER_OR_EQUAL, 1, 0, min_port),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _ACCEPT),
    ]
    if 0 < own_port < min_port:
        instructions[1:2] = [(_JUMP_IF_GREATER_OR_EQUAL, 2, 0, min_port), (_JUMP_IF_EQUAL, 1, 0, own_port)]
    return b"".join(_SOCK_FILTER.pack(*each) for each in (*(_DROP_V4MAPPED if ipv6 else ()), *instructions))


def attach(sock: socket.socket, min_port: int, own_port: int = 0) -> None:
    """Make the kernel drop datagrams from ports below `min_port`. Needs no privilege. Raises OSError."""
    instructions = build_program(min_port, own_port, ipv6=sock.family == socket.AF_INET6)
    buffer = array("B", instructions)
    address, _ = buffer.buffer_info()
    sock_fprog = struct.pack("@HP", len(instructions) // _SOCK_FILTER.size, address)
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, sock_fprog)
