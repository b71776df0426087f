"""EchoPort, a tcp.Port that sets socket options by name; what serves a connection is its subclasses' matter.

Options are set before bind, because a connection is the kernel's copy of its listener: what is set
later misses those that came in between. What the copy leaves out is set again on each connection.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from echotime.ports.accepting import AcceptingPort
from echotime.ports.connection import resets, waits
from echotime.ports.optioned import OptionedPort
from echotime.sockopt.apply import OptionFailed, Reading, apply
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.option import OnAccept
from echotime.sockopt.tcp_info import tcp_info


class EchoPort(OptionedPort, AcceptingPort):  # type: ignore[misc]  # Twisted's stopListening has an alias
    """A TCP port for EchoFactory, or for any factory whose protocols want whole messages.

    `asked` are the options that were asked for, of which those that fit a TCP socket on `interface` are
    set, over SO_REUSEADDR and TCP_NODELAY, which are on unless asked off. startListening raises
    CannotListenError, OSError (from listen) or OptionFailed, and then nothing listens.
    """

    path: str
    """How connections are served, for the log."""
    resets: bool
    """Whether each close of a connection throws away what was not sent."""
    _log = Logger()

    def __init__(
        self,
        port: int,
        factory: IProtocolFactory,
        *,
        interface: str = "",
        backlog: int = 1024,
        asked: Sequence[Assignment] = (),
        message_size: int = 4096,
        reactor: Any = None,
    ) -> None:
        super().__init__(port, factory, backlog, interface, reactor)
        self.message_size = message_size
        self.take_options("tcp", asked)
        self._look_through()

    def startListening(self) -> None:
        """As every port of ours; the queue of a socket that listens already is made longer if it has to be."""
        super().startListening()
        if self._adopted and tcp_info(self.socket).limit < self.backlog:
            self.listen_again(self.backlog)

    def change(self, asked: Assignment) -> Reading:
        """As for every port, and what connections are given from now on."""
        reading = super().change(asked)
        self._look_through()
        return reading

    def listen_again(self, backlog: int) -> None:
        """Change how many connections may wait to be accepted, while it serves."""
        self.socket.listen(backlog)
        self.backlog = backlog

    def _look_through(self) -> None:
        """What of the options concerns the connections."""
        self.lingers = any(map(waits, self._settled))
        self.resets = any(map(resets, self._settled))
        self.handed_down = tuple(each for each in self._asked if each.option.on_accept is not OnAccept.LISTENER_ONLY)
        """What a connection has of what was asked."""
        self._again = [each for each in self._settled if each.option.on_accept is OnAccept.SET_AGAIN]

    def set_again(self, connection: socket.socket) -> None:
        """Set on an accepted connection what Linux does not copy from the listener."""
        try:
            apply(connection, self._again)
        except OptionFailed as failed:
            # the next connection would fail alike: say it once, and serve on without
            self._again = []
            self._log.warn("not set on connections: {reason}", reason=str(failed))
