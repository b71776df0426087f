"""Read SO_MEMINFO: the memory that a socket uses, and its dropped datagrams. See sock_diag(7)."""

from __future__ import annotations

import socket
import struct

SO_MEMINFO = 55
FIELDS = ("rmem", "rcvbuf", "wmem", "sndbuf", "forward", "wqueued", "options", "backlog", "drops")
_STRUCT = struct.Struct(f"={len(FIELDS)}I")
SIZE = _STRUCT.size


def unpack(raw: bytes) -> dict[str, int]:
    """Return the counters by name: bytes, except for `drops`."""
    return dict(zip(FIELDS, _STRUCT.unpack(raw), strict=True))


def receive_memory(sock: socket.socket) -> int:
    """Return the bytes of memory that unread data takes in the receive buffer. Raises OSError."""
    return unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, SIZE))["rmem"]


def dropped_datagrams(sock: socket.socket) -> int:
    """Return the number of dropped datagrams: receive buffer full, a filter, a wrong checksum. Raises OSError."""
    return unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, SIZE))["drops"]
