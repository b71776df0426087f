"""StockPort, the TCP port that runs anywhere: Twisted's own accepting, reading and writing, event by event."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IProtocol, IReactorFDSet
from twisted.python.failure import Failure

from echotime.ports.connection import Connection
from echotime.ports.hangup import HangupWatch
from echotime.ports.tcp import EchoPort


class StockConnection(Connection):
    """An accepted connection that reads one message at a time, of the size its port names."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: IProtocol,
        client: tuple[object, ...],
        server: StockPort,
        sessionno: int,
        reactor: IReactorFDSet,
    ) -> None:
        super().__init__(sock, protocol, client, server, sessionno, reactor)
        self.bufferSize = server.message_size
        self.lingers = server.lingers
        self.asked = server.handed_down
        self._hangups = server.hangups
        server.set_again(sock)

    def pauseProducing(self) -> None:
        """Read no more for now; only its end is looked for."""
        super().pauseProducing()
        if self.connected:
            self._hangups.add(self)

    def resumeProducing(self) -> None:
        """Read again."""
        if self.connected:
            self._hangups.remove(self)
        super().resumeProducing()

    def connectionLost(self, reason: Failure) -> None:
        """It is over."""
        if hasattr(self, "socket"):
            self._hangups.remove(self)
        self._reason = reason
        super().connectionLost(reason)

    def _closeSocket(self, orderly: bool) -> None:
        self.close_socket(self._reason)


class StockPort(EchoPort):
    """An EchoPort whose connections are watched by the reactor itself."""

    path = "Twisted's transport"
    transport = StockConnection  # type: ignore[assignment]  # its constructor wants a StockPort, which this is

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.hangups = HangupWatch(self.reactor)
