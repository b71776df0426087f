"""What the TCP service needs below it; the ports' connections have it."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from zope.interface import Attribute


class IEchoTransport(ITCPTransport, IConsumer, IPushProducer):
    """What EchoProtocol needs below it: a TCP transport whose reading and whose buffer can be followed."""

    read_size = Attribute("The most bytes (int) that are read at a time. The protocol may change it.")

    def send_buffer() -> int:
        """Return SO_SNDBUF in bytes. The kernel lets it grow with the congestion window, unless it was set."""

    def bytes_acked() -> int:
        """How many bytes the client has taken of what it was sent."""

    def peer_half_closed() -> bool:
        """Whether the client ended its side, though there may be something before that which was not read yet."""
