"""LossNotifyingPort: notify the owner of a port when the port closes without having been stopped."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from traceback import format_exception_only
from typing import Any

from twisted.internet import main
from twisted.internet.base import BasePort
from twisted.python.failure import Failure


class SocketShutDown(Exception):
    """Report that another process called shutdown(2) on the socket, through its own descriptor."""

    def __str__(self) -> str:
        return "another process shut the socket down"


def is_shut_down(sock: socket.socket) -> bool:
    """Return True if a socket was shut down for reading, which makes a TCP listener stop listening."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return any(event & (select.POLLHUP | select.POLLRDHUP) for _, event in poll.poll(0))


def describe_loss(name: str, failure: Failure) -> str:
    """Return why the daemon ends when the port of a listener has closed because of a failure."""
    error = failure.value
    # other exceptions come from Python and Twisted, and say more with their class
    reason = str(error) if isinstance(error, SocketShutDown) else format_exception_only(failure.type, error)[-1].strip()
    return f"listener lost: {name}: {reason}"


class LossNotifyingPort(BasePort):
    """Call `on_lost` when the reactor closes a port, which it does at any error in doRead.

    A mixin that precedes tcp.Port or udp.Port in the bases.
    """

    direct_dispatch = True
    """True lets echotime.reactor call this port without a log context for each event."""
    reactor: Any
    socket: Any
    on_lost: Callable[[Failure], object] | None = None
    """Called with the reason after the port has closed. None: no notification."""
    _stopping = False

    def stopListening(self) -> Any:
        """Stop listening, without a call of `on_lost`."""
        self._stopping = True
        return super().stopListening()  # type: ignore[misc]

    def doRead(self) -> Any:
        """Close the port if its socket was shut down. Twisted would log the error of accept(2), and try again at once.

        Ports with a doRead of their own tell that by the errno.
        """
        return SocketShutDown() if is_shut_down(self.socket) else super().doRead()

    def readConnectionLost(self, reason: Failure) -> None:
        """Close the port; the reactor calls this at a lone EPOLLHUP or EPOLLRDHUP."""
        self.connectionLost(Failure(SocketShutDown()))

    def connectionLost(self, reason: Any = None) -> None:
        stopping, self._stopping = self._stopping, False
        try:
            super().connectionLost(reason)
        finally:
            if not stopping and self.on_lost is not None:
                self.on_lost(reason or Failure(main.CONNECTION_LOST))
