"""How many connections wait to be accepted and how many may, from TCP_INFO of a listening socket."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_UNACKED_SACKED = struct.Struct("=24xII")
"""struct tcp_info: on a listener tcpi_unacked is the queue's length, tcpi_sacked its limit."""


class AcceptQueue(NamedTuple):
    """Connections waiting now, and the limit that listen's backlog set (at most net.core.somaxconn)."""

    waiting: int
    limit: int


def accept_queue(listener: socket.socket) -> AcceptQueue:
    """Read it. Raises OSError where the system has no TCP_INFO."""
    raw = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _UNACKED_SACKED.size)
    return AcceptQueue(*_UNACKED_SACKED.unpack(raw))
