"""The interface of the transport that EchoProtocol needs; the connections of the ports provide it."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from zope.interface import Attribute


class IEchoTransport(ITCPTransport, IConsumer, IPushProducer):
    """A TCP transport that can be paused, and whose read size and send buffer are accessible."""

    read_size = Attribute("The size (int) of a read in bytes. The protocol may change it.")

    def send_buffer() -> int:
        """Return SO_SNDBUF in bytes. The kernel lets it grow with the congestion window, unless it was set."""

    def unsent_bytes() -> int:
        """Return the number of bytes in the transport's own buffer, which the kernel has not taken."""

    def unacked_bytes() -> int:
        """Return the number of bytes that the client has not acknowledged, including those not sent."""

    def round_trip_time() -> float:
        """Return the smoothed round-trip time in milliseconds. Raises OSError if the kernel does not know it."""

    def segment_size() -> int:
        """Return the size in bytes of the largest segment that is sent to the client (MSS). Raises OSError."""

    def received_ttl() -> int:
        """Return the TTL or hop limit with which the client's handshake arrived. Raises OSError."""

    def saved_syn() -> bytes:
        """Return the headers of the client's SYN, empty unless TCP_SAVE_SYN is on for the listener. Raises OSError."""

    def peer_half_closed() -> bool:
        """Return True if the client's FIN has arrived, even if unread data precedes it."""
