"""Sample what is pending at a listener and how much it has served: the evidence that a listener is hung.

The samples are getsockopt(2) and poll(2) calls on the listening socket. They need no network access.
"""

from __future__ import annotations

import select
import socket
from typing import NamedTuple

from echotime.counters import ServiceCounters
from echotime.net.tcp import EchoPort
from echotime.net.udp_port import SingleDatagramPort
from echotime.sockopt.meminfo import receive_memory
from echotime.sockopt.tcp_info import read_tcp_info


class QueueState(NamedTuple):
    """One sample of a listener's queue."""

    pending: int
    """Connections in the accept queue, or bytes of memory used by datagrams in the receive queue."""
    served: int
    """Connections or datagrams handled so far, failures included."""
    reason: str
    """The fault to report if `served` does not grow."""
    accept_paused: bool = False
    """True while a TCP port waits before it retries a failed accept(2)."""

    def made_progress(self, later: QueueState) -> bool:
        """Return True if anything was served before the later sample, or the port will retry by itself.

        New arrivals may keep the queue as long as it was.
        """
        return later.pending < self.pending or later.served != self.served or later.accept_paused


class ListenerHung(Exception):
    """Raised if a listener serves no client. The message is the reason."""


def tcp_queue_state(port: EchoPort) -> QueueState:
    """Sample the accept queue. Raises ListenerHung if the port is closed or does not listen."""
    _check_open(port)
    info = read_tcp_info(port.socket)
    if info.state != "LISTEN":
        raise ListenerHung("the socket does not listen any more")
    counters: ServiceCounters = port.factory.traffic.counters
    plural = "" if info.accept_queue == 1 else "s"
    return QueueState(
        info.accept_queue,
        port.sessionno + _served_count(port, counters.connections_refused),
        f"{info.accept_queue} pending connection{plural}, none accepted",
        port.is_paused,
    )


def udp_queue_state(port: SingleDatagramPort) -> QueueState:
    """Sample the receive queue. Raises ListenerHung if the port is closed or the socket was shut down."""
    _check_open(port)
    return QueueState(
        _unread_bytes(port.socket), _served_count(port, port.protocol.handled), "pending datagrams, none read"
    )


def _check_open(port: EchoPort | SingleDatagramPort) -> None:
    if not port.connected:
        raise ListenerHung("the port is closed")


def _served_count(port: EchoPort | SingleDatagramPort, handled: int) -> int:
    """Return the port's errors, plus `handled` if the reactor reads the port.

    Under a flood the queue is full in every sample, so the length of the queue shows no progress. `handled` counts for
    all ports of a transport and proves nothing about a port that the reactor does not read.
    """
    return sum(port.errors.values()) + (handled if port in port.reactor.getReaders() else 0)


def _unread_bytes(sock: socket.socket) -> int:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    events = sum(event for _, event in poll.poll(0))
    if events & select.POLLHUP:
        raise ListenerHung("the socket was shut down")
    if not events & select.POLLIN:
        return 0
    try:
        return max(1, receive_memory(sock))
    except OSError:
        return 1
