"""Read struct tcp_info, tcp(7): the state of a connection, or the accept queue of a listener."""

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
"""Fields: state, retransmits, probes, unacked, sacked, rtt, rttvar, snd_cwnd, total_retrans."""
_ADVERTISED = struct.Struct("=5xB78xI")
"""Fields: options, advmss."""
_TIMESTAMPS, _TIMESTAMPS_SIZE = 1, 12
"""Bit in options, and the bytes of each segment that the kernel subtracts from advmss for them."""
_BYTES_ACKED = struct.Struct("=120xQ")
"""Field: bytes_acked, since Linux 4.1."""


@dataclass(frozen=True)
class TcpInfo:
    """Hold the fields of a connection; on a listener `unacked` and `sacked` describe the accept queue.

    `rtt` and `rttvar` are in milliseconds, `unacked` and `cwnd` in segments.
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
        """The number of connections in the accept queue of a listener."""
        return self.unacked

    @property
    def accept_queue_limit(self) -> int:
        """The limit of the accept queue: the backlog of listen(2), at most net.core.somaxconn."""
        return self.sacked

    def __str__(self) -> str:
        if self.state == "LISTEN":
            return f"LISTEN, {self.accept_queue} pending, limit {self.accept_queue_limit}"
        if self.state == "CLOSE":
            return "CLOSE"
        return (
            f"{self.state}, rtt {self.rtt:.3f} ms, rttvar {self.rttvar:.3f} ms, unacked {self.unacked}, "
            f"retransmits {self.total_retransmits}, window {self.cwnd}"
        )


def unpack(raw: bytes) -> TcpInfo:
    """Return the fields of the bytes from getsockopt."""
    state, retransmits, probes, unacked, sacked, rtt, rttvar, cwnd, total = _LAYOUT.unpack_from(raw)
    name = STATES[state - 1] if 0 < state <= len(STATES) else str(state)
    return TcpInfo(name, unacked, sacked, probes, retransmits, total, rtt / 1000, rttvar / 1000, cwnd)


def read_tcp_info(sock: socket.socket) -> TcpInfo:
    """Return TCP_INFO of a socket. Raises OSError if the system has no TCP_INFO."""
    return unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAYOUT.size))


def bytes_acked(sock: socket.socket) -> int:
    """Return how many sent bytes the peer has acknowledged; 0 before Linux 4.1. Raises OSError."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)
    return int(_BYTES_ACKED.unpack(raw)[0]) if len(raw) == _BYTES_ACKED.size else 0


def advertised_mss(sock: socket.socket) -> int:
    """Return the MSS option of the SYN that this end of a connection has sent. Raises OSError."""
    options, mss = _ADVERTISED.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ADVERTISED.size))
    return int(mss) + (_TIMESTAMPS_SIZE if options & _TIMESTAMPS else 0)
