"""SO_MEMINFO: what the kernel keeps for a socket, and what it had to drop. See sock_diag(7)."""

from __future__ import annotations

import socket
import struct

SO_MEMINFO = 55
FIELDS = ("rmem", "rcvbuf", "wmem", "sndbuf", "forward", "wqueued", "options", "backlog", "drops")
_STRUCT = struct.Struct(f"={len(FIELDS)}I")
SIZE = _STRUCT.size


def unpack(raw: bytes) -> dict[str, int]:
    """The counters by name: bytes, and at the end datagrams dropped."""
    return dict(zip(FIELDS, _STRUCT.unpack(raw), strict=True))


def receive_memory(sock: socket.socket) -> int:
    """How many bytes of memory what waits in the receive buffer takes. Raises OSError."""
    return unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, SIZE))["rmem"]


def dropped_datagrams(sock: socket.socket) -> int:
    """How many datagrams were dropped: no room in the receive buffer, a filter, a wrong checksum. Raises OSError."""
    return unpack(sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, SIZE))["drops"]
