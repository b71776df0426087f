"""Reads what is pending in a listener's queue, and how much was served so far: the proof that a listener is hung.

The socket is asked, by getsockopt and poll, and nothing of the network: so it works wherever the daemon runs.
"""

from __future__ import annotations

import select
import socket
from typing import NamedTuple

from echotime.counters import ServiceCounters
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.sockopt.meminfo import receive_memory
from echotime.sockopt.tcp_info import read_tcp_info


class QueueState(NamedTuple):
    """Holds one sample. `reason` says what it means if nothing was served since an earlier one."""

    pending: int
    """Connections in the accept queue, or bytes of memory that the datagrams in the receive queue take."""
    served: int
    reason: str
    accept_paused: bool = False
    """True while a TCP port waits before it tries a failed accept(2) again."""

    def made_progress(self, later: QueueState) -> bool:
        """Return True if anything was served between two samples, or the port is about to try again by itself.

        More may have come, too, so the queue need not be shorter.
        """
        return later.pending < self.pending or later.served != self.served or later.accept_paused


class ListenerHung(Exception):
    """Says why nobody is served by a listener."""


def read_queue_state(port: EchoPort | TimePort) -> QueueState:
    """Take a sample. Raises ListenerHung if the socket is dead: closed, shut down, or listening no more."""
    if not port.connected:
        raise ListenerHung("the port is closed")
    if isinstance(port, EchoPort):
        info = read_tcp_info(port.socket)
        if info.state != "LISTEN":
            raise ListenerHung("the socket does not listen any more")
        plural = "" if info.accept_queue == 1 else "s"
        reason = f"{info.accept_queue} pending connection{plural}, none accepted"
        return QueueState(info.accept_queue, port.sessionno + _served_count(port), reason, port.is_paused)
    return QueueState(_unread_bytes(port.socket), _served_count(port), "pending datagrams, none read")


def _served_count(port: EchoPort | TimePort) -> int:
    """Return what a port does not count by itself: under a flood its queue is as full in each sample.

    The counters are those of all ports of a kind. Of a port that the reactor does not read they say nothing.
    """
    errors = sum(port.errors.values())
    if port not in port.reactor.getReaders():
        return errors
    if isinstance(port, EchoPort):
        counters: ServiceCounters = port.factory.traffic.counters
        return counters.connections_refused + errors
    handled: int = port.protocol.handled
    return handled + errors


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
