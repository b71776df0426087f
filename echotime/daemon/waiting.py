"""What waits in a listener's socket and whether it is taken: how a hung listener is told from one that was not reached.

The socket is asked, by getsockopt and poll, and nothing of the network: so it works wherever the daemon runs.
"""

from __future__ import annotations

import select
import socket
from typing import NamedTuple

from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.servers.traffic import Counters
from echotime.sockopt.meminfo import unread
from echotime.sockopt.tcp_info import tcp_info


class Waiting(NamedTuple):
    """At one moment: connections, or bytes of datagrams, that wait; and how many were taken so far."""

    number: int
    taken: int
    what: str

    def moved_on(self, later: Waiting) -> bool:
        """Whether anything was taken between two looks. More may have come, too, so less or none is what counts."""
        return later.number < self.number or later.taken != self.taken


class Dead(Exception):
    """The socket cannot be served any more; says why."""


def waiting(port: EchoPort | TimePort) -> Waiting:
    """What waits there. Raises Dead."""
    if not port.connected:
        raise Dead("the port is closed")
    if isinstance(port, EchoPort):
        info = tcp_info(port.socket)
        if info.state != "LISTEN":
            raise Dead("the socket does not listen any more")
        return Waiting(info.waiting, port.sessionno + _also_taken(port), "connections")
    return Waiting(_datagrams(port.socket), _also_taken(port), "bytes of datagrams")


def _also_taken(port: EchoPort | TimePort) -> int:
    """What a port does not count by itself: under a flood its queue is as full at each look.

    Others may have taken these, but not for a port that is not read.
    """
    if port not in port.reactor.getReaders():
        return 0
    if isinstance(port, EchoPort):
        counters: Counters = port.factory.traffic.counters
        return counters.connections_refused + sum(port.errors.values())
    handled: int = port.protocol.handled
    return handled + sum(port.errors.values())


def _datagrams(sock: socket.socket) -> int:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    events = sum(event for _, event in poll.poll(0))
    if events & select.POLLHUP:
        raise Dead("the socket was shut down")
    if not events & select.POLLIN:
        return 0
    try:
        return max(1, unread(sock))
    except OSError:
        return 1
