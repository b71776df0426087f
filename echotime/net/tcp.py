"""EchoPort, the TCP port: set socket options on the listener and its connections.

Options are set before bind, because the kernel copies them from the listener to each connection. An option that is set
later would miss the connections made in between. Options that Linux does not copy are set again on each connection.
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
    """Listen on a TCP address for EchoFactory, or any factory whose protocols take one message per dataReceived.

    Those of `sockopts` that fit a TCP socket on `interface` are set. SO_REUSEADDR and TCP_NODELAY are on unless
    `sockopts` disables them. startListening raises CannotListenError, OSError (from listen(2)) or OptionError, and then
    nothing listens.
    """

    transport = EchoConnection  # type: ignore[assignment]  # Twisted wants a constructor that takes any tcp.Port
    _log = Logger()

    def __init__(
        self,
        port: int,
        factory: IProtocolFactory,
        *,
        interface: str = "",
        backlog: int = socket.SOMAXCONN,
        sockopts: Sequence[Assignment] = (),
        keeps_final_state: bool = False,
        reactor: Any = None,
    ) -> None:
        super().__init__(port, factory, backlog, interface, reactor)
        self.keeps_final_state = keeps_final_state
        """True if connections read TCP_INFO and their local address before they are closed, for the record."""
        self.fixed_backlog: int | None = None
        """The limit of the accept queue in place of `backlog`."""
        self.select_options("tcp", sockopts)
        self._derive_connection_options()

    def startListening(self) -> None:
        """Listen. On an adopted socket, only raise the limit of the accept queue, if `backlog` is higher."""
        super().startListening()
        if self.adopted:
            self.configure_backlog(self.backlog)

    def set_option(self, assignment: Assignment) -> ReadBack:
        """Set an option on the listener and for connections accepted from now on. Raises OptionError."""
        reading = super().set_option(assignment)
        self._derive_connection_options()
        return reading

    def set_backlog(self, backlog: int) -> None:
        """Change the limit of the accept queue while listening; see listen(2). Raises OSError.

        While the limit is fixed, only remember the new one.
        """
        if self.fixed_backlog is None:
            self.socket.listen(backlog)
        self.backlog = backlog

    def fix_backlog(self, limit: int | None) -> None:
        """Keep the limit of the accept queue from changing, or with None return to `backlog`. Raises OSError."""
        self.socket.listen(self.backlog if limit is None else limit)
        self.fixed_backlog = limit

    def configure_backlog(self, backlog: int) -> bool:
        """Change the limit of the accept queue, but only raise that of an adopted socket. Raises OSError.

        Return True if the limit has changed.
        """
        before = self.accept_queue_limit
        if not self.adopted or before < backlog:
            self.set_backlog(backlog)
        self.backlog = backlog
        return self.accept_queue_limit != before

    @property
    def accept_queue_limit(self) -> int:
        """Return the limit of the accept queue that is in effect."""
        return read_tcp_info(self.socket).accept_queue_limit

    def _derive_connection_options(self) -> None:
        """Derive from the options of the port those of its connections."""
        self.lingers = any(map(close_blocks, self._effective_options))
        self.inherited_options = tuple(
            each for each in self._sockopts if each.option.on_accept is not OnAccept.LISTENER_ONLY
        )
        """Requested options that connections inherit."""
        self.reapplied_options = [
            each for each in self._effective_options if each.option.on_accept is OnAccept.REAPPLIED
        ]
        """Options that Linux does not copy to connections."""
        values = {each.option.name: each.value for each in self._effective_options}
        self.holds_output = values["TCP_NODELAY"] == 1 and not values.get("TCP_CORK")
        """True if setting TCP_NODELAY on a connection only flushes what MSG_MORE holds, and changes nothing else."""

    def reapply_options(self, connection: socket.socket) -> None:
        """Set the options on an accepted connection that Linux does not copy from the listener."""
        try:
            apply(connection, self.reapplied_options)
        except OptionError as failed:
            # later connections would fail in the same way: log it once and stop trying
            self.reapplied_options = []
            self._log.warn("not set on connections: {reason}", reason=str(failed))
