"""Read struct tcp_info, tcp(7): the state of a connection, or the accept queue of a listener."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import NamedTuple

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


class _Figure(NamedTuple):
    """Describe a field that `figures_json` returns."""

    name: str
    offset: int
    format: str
    """The type as the struct module names it."""
    microseconds: bool = False
    """True if the kernel counts microseconds. The figure is in seconds."""

    @property
    def end(self) -> int:
        return self.offset + struct.calcsize(f"={self.format}")


_FIGURES = (
    _Figure("mss", 16, "I"),
    _Figure("unacked", 24, "I"),
    _Figure("lost", 32, "I"),
    _Figure("pmtu", 60, "I"),
    _Figure("rtt", 68, "I", microseconds=True),
    _Figure("rttvar", 72, "I", microseconds=True),
    _Figure("cwnd", 80, "I"),
    _Figure("retransmits", 100, "I"),
    _Figure("bytes_acked", 120, "Q"),
    _Figure("segments_out", 136, "I"),
    _Figure("segments_in", 140, "I"),
    _Figure("min_rtt", 148, "I", microseconds=True),
    _Figure("delivery_rate", 160, "Q"),
    _Figure("busy", 168, "Q", microseconds=True),
    _Figure("rwnd_limited", 176, "Q", microseconds=True),
    _Figure("sndbuf_limited", 184, "Q", microseconds=True),
    _Figure("bytes_retransmitted", 208, "Q"),
    _Figure("dsacks", 216, "I"),
    _Figure("reordered", 220, "I"),
)
"""In the order of struct tcp_info, whose later fields are those of later kernels."""
_GAPS = (each.offset - before for before, each in zip([0, *(each.end for each in _FIGURES)], _FIGURES, strict=False))
_FIGURES_LAYOUT = struct.Struct(
    "=" + "".join(f"{gap}x{each.format}" for gap, each in zip(_GAPS, _FIGURES, strict=True))
)
FIGURES_SIZE = _FIGURES_LAYOUT.size
"""Length of TCP_INFO for `figures_json`. An earlier kernel returns fewer bytes."""
_FIGURES_JSON = "{" + ",".join(f'"{each.name}":%s' for each in _FIGURES) + "}"
_TIMES = tuple(place for place, each in enumerate(_FIGURES) if each.microseconds)
_MIN_RTT = next(place for place, each in enumerate(_FIGURES) if each.name == "min_rtt")
_UNKNOWN = 0xFFFFFFFF
"""The minimum round-trip time before the first sample."""


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


def figures_json(raw: bytes) -> str:
    """Return the figures of a connection as a JSON object, from the bytes of TCP_INFO; null for an unknown one.

    Times are in seconds, and `delivery_rate` is in bytes per second. `mss`, `pmtu` and all with ``bytes`` are in bytes,
    and the others are segments. `busy` is how long output was pending. `rwnd_limited` and `sndbuf_limited` are how long
    of that it waited for the receive window of the peer, or for a larger send buffer.
    """
    fields = _FIGURES_LAYOUT.unpack_from(raw.ljust(FIGURES_SIZE, b"\0"))
    numbers: list[int | str] = list(fields)
    for place in _TIMES:
        numbers[place] = f"{fields[place] / 1e6:.6f}"
    if fields[_MIN_RTT] == _UNKNOWN:
        numbers[_MIN_RTT] = "null"
    if len(raw) < FIGURES_SIZE:
        numbers = [number if each.end <= len(raw) else "null" for each, number in zip(_FIGURES, numbers, strict=True)]
    return _FIGURES_JSON % tuple(numbers)


def bytes_acked(sock: socket.socket) -> int:
    """Return how many sent bytes the peer has acknowledged; 0 before Linux 4.1. Raises OSError."""
    raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)
    return int(_BYTES_ACKED.unpack(raw)[0]) if len(raw) == _BYTES_ACKED.size else 0


def advertised_mss(sock: socket.socket) -> int:
    """Return the MSS option of the SYN that this end of a connection has sent. Raises OSError."""
    options, mss = _ADVERTISED.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ADVERTISED.size))
    return int(mss) + (_TIMESTAMPS_SIZE if options & _TIMESTAMPS else 0)
