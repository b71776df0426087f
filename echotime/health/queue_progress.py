"""Sample what is pending at a listener and how much it has served: the evidence that a listener is hung.

The samples are getsockopt(2) and poll(2) calls on the listening socket. They need no network access. Only what this
process served is progress. Another process may make the queue shorter, if several serve the same socket.
"""

from __future__ import annotations

import select
import socket
from typing import NamedTuple

from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.sockopt.meminfo import receive_memory
from echotime.sockopt.tcp_info import read_tcp_info

_NOT_READ = "the reactor does not read the socket"


class QueueState(NamedTuple):
    """One sample of a listener's queue."""

    pending: int
    """Connections in the accept queue, or bytes of memory used by datagrams in the receive queue."""
    served: int
    """Connections or datagrams handled so far, failures included."""
    reason: str
    """The fault to report if `served` does not grow."""
    is_read: bool = True
    """False if the reactor does not read the socket. Then no client is served, whether one is pending or not."""
    accept_paused: bool = False
    """True while a TCP port waits before it retries a failed accept(2)."""

    @property
    def must_progress(self) -> bool:
        return bool(self.pending) or not self.is_read

    def made_progress(self, later: QueueState) -> bool:
        """Return True if this process served anything before the later sample, or the port will retry by itself.

        New arrivals may keep the queue as long as it was.
        """
        return later.served != self.served or later.accept_paused


class ListenerHung(Exception):
    """Raised if a listener serves no client. The message is the reason."""


def tcp_queue_state(port: EchoPort) -> QueueState:
    """Sample the accept queue. Raises ListenerHung if the port is closed or does not listen."""
    _check_open(port)
    info = read_tcp_info(port.socket)
    if info.state != "LISTEN":
        raise ListenerHung("the socket does not listen any more")
    plural = "" if info.accept_queue == 1 else "s"
    return QueueState(
        info.accept_queue,
        port.sessionno + sum(port.errors.values()),
        f"{info.accept_queue} pending connection{plural}, none accepted" if info.accept_queue else _NOT_READ,
        is_read=_is_read(port),
        accept_paused=port.is_paused,
    )


def udp_queue_state(port: TimePort) -> QueueState:
    """Sample the receive queue. Raises ListenerHung if the port is closed or the socket was shut down."""
    _check_open(port)
    unread, is_read = _unread_bytes(port.socket), _is_read(port)
    # `handled` counts for all UDP ports. It proves nothing about a port that the reactor does not read.
    served = sum(port.errors.values()) + (port.protocol.handled if is_read else 0)
    return QueueState(unread, served, "pending datagrams, none read" if unread else _NOT_READ, is_read)


def _check_open(port: EchoPort | TimePort) -> None:
    if not port.connected:
        raise ListenerHung("the port is closed")


def _is_read(port: EchoPort | TimePort) -> bool:
    return port in port.reactor.getReaders()


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
