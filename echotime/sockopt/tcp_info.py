"""struct tcp_info of tcp(7): what the kernel knows of a connection, or of a listener's queue."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

STATES = (
    *("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"),
    *("CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"),
)
"""The states of RFC 9293 as Linux numbers them, from 1 on."""

_LAYOUT = struct.Struct("=BxBB20xII36xII4xI16xI")
"""state, retransmits, probes, unacked, sacked, rtt, rttvar, snd_cwnd, total_retrans."""
_BYTES_ACKED = struct.Struct("=120xQ")
"""bytes_acked, of Linux 4.1."""


@dataclass(frozen=True)
class TcpInfo:
    """Of a connection; `accept_queue` and `accept_queue_limit` are what the same fields hold on a listener.

    `rtt` and `rttvar` are milliseconds, `unacked` and `cwnd` segments.
    """

    state: str
    unacked: int
    sacked: int
    probes: int
    retransmits: int
    total_retransmits: int
    rtt: float
    rttvar: float
    cwnd: int

    @property
    def accept_queue(self) -> int:
        """On a listener: connections that wait to be accepted."""
        return self.unacked

    @property
    def accept_queue_limit(self) -> int:
        """On a listener: the limit that listen's backlog set, at most net.core.somaxconn."""
        return self.sacked

    def __str__(self) -> str:
        if self.state == "LISTEN":
            return f"LISTEN, {self.accept_queue} waiting, limit {self.accept_queue_limit}"
        if self.state == "CLOSE":
            return "CLOSE"
        return (
            f"{self.state}, rtt {self.rtt:.3f} ms, rttvar {self.rttvar:.3f} ms, unacked {self.unacked}, "
            f"retransmits {self.total_retransmits}, window {self.cwnd}"
        )


def unpack(raw: bytes) -> TcpInfo:
    """What a structure as getsockopt gives it says."""
    state, retransmits, probes, unacked, sacked, rtt, rttvar, cwnd, total = _LAYOUT.unpack_from(raw)
    name = STATES[state - 1] if 0 < state <= len(STATES) else str(state)
    return TcpInfo(name, unacked, sacked, probes, retransmits, total, rtt / 1000, rttvar / 1000, cwnd)


def read_tcp_info(sock: socket.socket) -> TcpInfo:
    """Of a TCP socket. Raises OSError where the system has no TCP_INFO."""
    return unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAYOUT.size))


def bytes_acked(sock: socket.socket) -> int:
    """How many bytes the other end of a connection has taken; 0 where the system does not tell. Raises OSError."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)
    return int(_BYTES_ACKED.unpack(raw)[0]) if len(raw) == _BYTES_ACKED.size else 0
