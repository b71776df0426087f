"""EchoPort, the TCP port: it sets socket options by name and hands its connections whole messages.

Options are set before bind, because the kernel copies them from the listener to each connection: an option that is set
later misses the connections made in between. What Linux does not copy is set again on each connection.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IProtocolFactory

from echotime.logger import Logger
from echotime.net.accepting import AcceptingPort
from echotime.net.connection import EchoConnection, close_blocks
from echotime.net.sockopt_port import SockoptPortMixin
from echotime.sockopt.apply import OptionError, ReadBack, apply
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.option import OnAccept
from echotime.sockopt.tcp_info import read_tcp_info


class EchoPort(SockoptPortMixin, AcceptingPort):  # type: ignore[misc]  # Twisted's stopListening has an alias
    """A TCP port for EchoFactory, or for any factory whose protocols take one message per dataReceived.

    `sockopts` are socket options; those that fit a TCP socket on `interface` are set. SO_REUSEADDR and TCP_NODELAY are
    on unless asked off. `message_size` is the size of a read in bytes. startListening raises CannotListenError, OSError
    (from listen(2)) or OptionError, and then nothing listens.
    """

    transport = EchoConnection  # type: ignore[assignment]  # Twisted wants a constructor that takes any tcp.Port
    _log = Logger()

    def __init__(
        self,
        port: int,
        factory: IProtocolFactory,
        *,
        interface: str = "",
        backlog: int = 1024,
        sockopts: Sequence[Assignment] = (),
        message_size: int = 4096,
        reactor: Any = None,
    ) -> None:
        super().__init__(port, factory, backlog, interface, reactor)
        self.message_size = message_size
        self.select_options("tcp", sockopts)
        self._derive_connection_options()

    def startListening(self) -> None:
        """Listen; on a socket that listens already make the accept queue longer if `backlog` asks for it."""
        super().startListening()
        if self._adopted and read_tcp_info(self.socket).accept_queue_limit < self.backlog:
            self.set_backlog(self.backlog)

    def set_option(self, assignment: Assignment) -> ReadBack:
        """Set an option on the listener and for connections accepted from now on. Raises OptionError."""
        reading = super().set_option(assignment)
        self._derive_connection_options()
        return reading

    def set_backlog(self, backlog: int) -> None:
        """Change the limit of the accept queue while listening; see listen(2)."""
        self.socket.listen(backlog)
        self.backlog = backlog

    def _derive_connection_options(self) -> None:
        """Work out which of the options concern connections."""
        self.lingers = any(map(close_blocks, self._effective_options))
        self.inherited_options = tuple(
            each for each in self._sockopts if each.option.on_accept is not OnAccept.LISTENER_ONLY
        )
        """Options asked for that connections inherit."""
        self.reapplied_options = [
            each for each in self._effective_options if each.option.on_accept is OnAccept.REAPPLIED
        ]
        """Options that Linux does not copy to connections."""
        values = {each.option.name: each.value for each in self._effective_options}
        self.holds_output = values["TCP_NODELAY"] == 1 and not values.get("TCP_CORK")
        """True if setting TCP_NODELAY on a connection changes nothing, but flushes what MSG_MORE has held back."""

    def reapply_options(self, connection: socket.socket) -> None:
        """Set on an accepted connection what Linux does not copy from the listener."""
        try:
            apply(connection, self.reapplied_options)
        except OptionError as failed:
            # The next connection would fail alike: log it once and go on without.
            self.reapplied_options = []
            self._log.warn("not set on connections: {reason}", reason=str(failed))
