"""Serve echo and time on plain Twisted: `python twisted_peer.py tcp|udp`.

Stock ports, and an echo and its acknowledgement in two writes. Only the message size is not stock.
"""

from __future__ import annotations

import struct
import sys
import time
from typing import Any

from twisted.internet import interfaces, reactor
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from zope.interface import implementer

ACKNOWLEDGEMENT = b"\nI get it!\n"


@implementer(interfaces.IHalfCloseableProtocol)
class Echo(Protocol):
    """Echo messages; half-close keeps Twisted from discarding pending output at the end of file."""

    transport: Any

    def connectionMade(self) -> None:
        """Limit each read to one message."""
        self.transport.bufferSize = 4096
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.write(ACKNOWLEDGEMENT)

    def readConnectionLost(self) -> None:
        """Close after all output is sent."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: both sides close at once."""


class Time(DatagramProtocol):
    """Answer each datagram with the time in four bytes."""

    transport: Any

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.transport.write(struct.pack("!I", int(time.time())), addr)


if __name__ == "__main__":
    loop: Any = reactor
    if sys.argv[1] == "tcp":
        port = loop.listenTCP(0, Factory.forProtocol(Echo), backlog=1024, interface="127.0.0.1")
    else:
        port = loop.listenUDP(0, Time(), interface="127.0.0.1")
    print("port", port.getHost().port, flush=True)
    loop.run()
