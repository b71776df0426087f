"""The same two services as plain Twisted has them: `python twisted_peer.py tcp|udp`.

Stock ports, an echo and its acknowledgement in two writes. The one thing that is not stock is the size of a message.
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
    """Half-close, or Twisted would throw away at the end of file what was not sent yet."""

    transport: Any

    def connectionMade(self) -> None:
        """Receive no more than a message at a time."""
        self.transport.bufferSize = 4096
        self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(data)
        self.transport.write(ACKNOWLEDGEMENT)

    def readConnectionLost(self) -> None:
        """Close when all is sent."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """We close both sides at once."""


class Time(DatagramProtocol):
    """Four bytes for any datagram."""

    transport: Any

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer."""
        self.transport.write(struct.pack("!I", int(time.time())), addr)


if __name__ == "__main__":
    loop: Any = reactor
    if sys.argv[1] == "tcp":
        port = loop.listenTCP(0, Factory.forProtocol(Echo), backlog=1024, interface="127.0.0.1")
    else:
        port = loop.listenUDP(0, Time(), interface="127.0.0.1")
    print("port", port.getHost().port, flush=True)
    loop.run()
