"""Capture UDP packets over IPv4 as they arrive on an interface, with a packet socket (CAP_NET_RAW)."""

from __future__ import annotations

import ctypes
import select
import socket
import struct
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

_ALL_IPV4 = 0x0800
_SO_ATTACH_FILTER = 26
_ONLY_UDP = (
    (0x30, 0, 0, 9),  # load the protocol
    (0x15, 0, 1, socket.IPPROTO_UDP),
    (0x06, 0, 0, 0x40000),
    (0x06, 0, 0, 0),
)
"""Classic BPF as in net/bpf.py: other packets must not fill the buffer."""
_LONGEST = 120.0
"""Seconds after which a capture ends, whatever arrives."""


class Packet(NamedTuple):
    """Hold one captured datagram: source, destination, size and payload."""

    source: tuple[str, int]
    to: tuple[str, int]
    size: int
    """Bytes of the IP packet."""
    payload: bytes


def captured(
    ports: Collection[int],
    act: Callable[[], object],
    *,
    interface: str = "lo",
    quiet: float = 0.5,
    most: int = 1000,
) -> list[Packet]:
    """Capture the datagrams between these ports after an act, until `quiet` seconds without one; `most` at most."""
    # a packet socket of one protocol sees packets on arrival only: on loopback each packet once
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL_IPV4)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        _filter(wire)
        wire.bind((interface, _ALL_IPV4))
        act()
        found: list[Packet] = []
        longest = time.monotonic() + _LONGEST
        until = time.monotonic() + quiet
        while len(found) < most and (left := min(until, longest) - time.monotonic()) > 0:
            if not select.select([wire], [], [], left)[0]:
                break
            packet = _packet(wire.recv(70_000))
            if packet.source[1] in ports and packet.to[1] in ports:
                found.append(packet)
                until = time.monotonic() + quiet
        return found


def _packet(data: bytes) -> Packet:
    source, to = struct.unpack_from("!HH", data, 20)
    hosts = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
    return Packet((hosts[0], source), (hosts[1], to), len(data), data[28:])


def _filter(wire: socket.socket) -> None:
    program = b"".join(struct.pack("=HBBI", *each) for each in _ONLY_UDP)
    kept = ctypes.create_string_buffer(program, len(program))
    wire.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", len(_ONLY_UDP), ctypes.addressof(kept)))
