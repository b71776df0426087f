"""LossNotifyingPort: a port that tells its owner when it ends though nobody stopped it."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import main
from twisted.internet.base import BasePort
from twisted.python.failure import Failure


class SocketShutDown(Exception):
    """Another process called shutdown(2) for the socket, through a descriptor of its own."""

    def __str__(self) -> str:
        return "another process shut the socket down"


def is_shut_down(sock: socket.socket) -> bool:
    """Whether it cannot be read, or for TCP does not listen, any more."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return any(event & (select.POLLHUP | select.POLLRDHUP) for _, event in poll.poll(0))


class LossNotifyingPort(BasePort):
    """A mixin in front of tcp.Port or udp.Port, for all reasons: the reactor ends a port at any error in its doRead."""

    direct_dispatch = True
    """Lets echotime.reactor call this port without a log context for each event."""
    reactor: Any
    on_lost: Callable[[Failure], object] | None = None
    """Who is told why, once all is closed."""
    _stopping = False

    def stopListening(self) -> Any:
        """As the parent's; this end is nobody's loss."""
        self._stopping = True
        return super().stopListening()  # type: ignore[misc]

    def readConnectionLost(self, reason: Failure) -> None:
        """What the reactor calls when it sees nothing but a hang-up."""
        self.connectionLost(Failure(SocketShutDown()))

    def connectionLost(self, reason: Any = None) -> None:
        """It is over."""
        stopping, self._stopping = self._stopping, False
        try:
            super().connectionLost(reason)
        finally:
            if not stopping and self.on_lost is not None:
                self.on_lost(reason or Failure(main.CONNECTION_LOST))
