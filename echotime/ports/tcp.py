"""EchoPort, a tcp.Port that sets socket options by name, and EchoConnection, what it accepts.

Options are set before bind, because a connection is the kernel's copy of its listener: what is set
later misses those that came in between. What the copy leaves out is set again on each connection.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorFDSet
from twisted.logger import Logger
from twisted.python.failure import Failure

from echotime.ports.hangup import HangupWatch
from echotime.ports.optioned import OptionedPort
from echotime.sockopt.apply import OptionFailed, Reading, apply, read
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue import BY_NAME
from echotime.sockopt.option import OnAccept

_LINGER = BY_NAME["SO_LINGER"]
_NO_LINGER = _LINGER.form.pack(-1)


def _waits(asked: Assignment) -> bool:
    """Whether a close would wait with it."""
    return asked.option is _LINGER and asked.value not in {-1, 0}


class EchoConnection(tcp.Server):
    """An accepted connection that reads one message at a time, of the size its port names."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: IProtocol,
        client: tuple[object, ...],
        server: EchoPort,
        sessionno: int,
        reactor: IReactorFDSet,
    ) -> None:
        super().__init__(sock, protocol, client, server, sessionno, reactor)
        self.bufferSize = server.message_size
        self._port = server
        self._well = True
        self._lingers = server.lingers
        self.asked: tuple[Assignment, ...] = tuple(
            each for each in server._asked if each.option.on_accept is not OnAccept.LISTENER_ONLY
        )
        """What was asked for it, by its port or since."""
        server.set_again(sock)

    def pauseProducing(self) -> None:
        """Read no more for now; only its end is looked for."""
        super().pauseProducing()
        if self.connected:
            self._port.hangups.add(self)

    def resumeProducing(self) -> None:
        """Read again."""
        if self.connected:
            self._port.hangups.remove(self)
        super().resumeProducing()

    def connectionLost(self, reason: Failure) -> None:
        """It is over. Unless all is well the client is told by a reset, where Twisted would send an end of file."""
        if hasattr(self, "socket"):
            self._port.hangups.remove(self)
        self._well = reason.check(ConnectionDone) is not None
        super().connectionLost(reason)

    def change(self, asked: Assignment) -> Reading:
        """Set an option on this connection. Raises OptionFailed."""
        apply(self.socket, [asked])
        self.asked = (*(each for each in self.asked if each.option != asked.option), asked)
        if asked.option is _LINGER:
            self._lingers = _waits(asked)
        return read(self.socket, asked)

    def _closeSocket(self, orderly: bool) -> None:
        if orderly and self._well and self._lingers:
            # close would wait that long, though the socket does not block, and everybody else with it
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        super()._closeSocket(orderly and self._well)


class EchoPort(OptionedPort, tcp.Port):
    """A TCP port for EchoFactory, or for any factory whose protocols want whole messages.

    `asked` are the options that were asked for, of which those that fit a TCP socket on `interface` are
    set, over SO_REUSEADDR and TCP_NODELAY, which are on unless asked off. startListening raises
    CannotListenError, OSError (from listen) or OptionFailed, and then nothing listens.
    """

    transport = EchoConnection  # type: ignore[assignment]  # its constructor wants an EchoPort, which this is
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
        self.hangups = HangupWatch(self.reactor)
        self._look_through()

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
        self.lingers = any(map(_waits, self._settled))
        self._again = [each for each in self._settled if each.option.on_accept is OnAccept.SET_AGAIN]

    def set_again(self, connection: socket.socket) -> None:
        """Set on an accepted connection what Linux does not copy from the listener."""
        try:
            apply(connection, self._again)
        except OptionFailed as failed:
            # the next connection would fail alike: say it once, and serve on without
            self._again = []
            self._log.warn("not set on connections: {reason}", reason=str(failed))
