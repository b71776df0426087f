"""Connection, what our TCP ports accept: it knows its options, and closes so that the client can tell how it ended."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from echotime.sockopt.apply import Reading, apply, read
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue import BY_NAME
from echotime.sockopt.tcp_info import acknowledged, tcp_info

_LINGER = BY_NAME["SO_LINGER"]
_NO_LINGER = _LINGER.form.pack(-1)


def waits(asked: Assignment) -> bool:
    """Whether a close would wait with it."""
    return asked.option is _LINGER and asked.value not in {-1, 0}


def resets(asked: Assignment) -> bool:
    """Whether a close would throw away what was not sent with it."""
    return asked.option is _LINGER and asked.value == 0


def close(sock: socket.socket, *, lingers: bool) -> None:
    """Close in order, and do not wait though it `lingers`: close would, blocking socket or not, and everybody with it.

    Twisted shuts it down before, which nobody needs who has the only descriptor: the kernel does the same for both.
    """
    if lingers:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    sock.close()


class Connection(tcp.Server):
    """An accepted connection; the class it is mixed into sets `asked`, what was asked for it, and `lingers`."""

    asked: tuple[Assignment, ...]
    """What was asked for it, by its port or since."""
    lingers: bool
    """Whether a close would wait."""
    server: Any
    """The port that it was accepted by."""

    def change(self, asked: Assignment) -> Reading:
        """Set an option on this connection. Raises OptionFailed."""
        apply(self.socket, [asked])
        self.asked = (*(each for each in self.asked if each.option != asked.option), asked)
        if asked.option is _LINGER:
            self.lingers = waits(asked)
        return read(self.socket, asked)

    def peer_ended(self) -> bool:
        """Whether the client ended its side, read or not."""
        return tcp_info(self.socket).state == "CLOSE_WAIT"

    def taken(self) -> int:
        """How many bytes the client has taken of what it was sent."""
        return acknowledged(self.socket)

    def close_socket(self, reason: Failure) -> None:
        """Unless all is well the client is told by a reset, where Twisted would send an end of file."""
        if not isinstance(reason.value, ConnectionDone):
            super()._closeSocket(False)
            return
        self.server.let_go(self.socket, lingers=self.lingers)
