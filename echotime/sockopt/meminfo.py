"""SO_MEMINFO: what the kernel keeps for a socket, and what it had to drop. See sock_diag(7)."""

from __future__ import annotations

import socket
import struct

NUMBER = 55
NAMES = ("rmem", "rcvbuf", "wmem", "sndbuf", "forward", "wqueued", "options", "backlog", "drops")
_COUNTERS = struct.Struct(f"={len(NAMES)}I")
SIZE = _COUNTERS.size


def unpack(raw: bytes) -> dict[str, int]:
    """The counters by name: bytes, and at the end datagrams dropped."""
    return dict(zip(NAMES, _COUNTERS.unpack(raw), strict=True))


def unread(sock: socket.socket) -> int:
    """How many bytes of memory what waits in the receive buffer takes. Raises OSError."""
    return unpack(sock.getsockopt(socket.SOL_SOCKET, NUMBER, SIZE))["rmem"]


def dropped(sock: socket.socket) -> int:
    """How many datagrams were dropped: no room in the receive buffer, a filter, a wrong checksum. Raises OSError."""
    return unpack(sock.getsockopt(socket.SOL_SOCKET, NUMBER, SIZE))["drops"]
