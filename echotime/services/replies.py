"""IReplySource, the interface of what replies to each message of a TCP connection."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from zope.interface import Interface


class IReplySource(Interface):
    """Reply to each message of a TCP connection, such as an operator does. A constant reply needs no source."""

    def reply_to(message: bytes, peer: IAddress) -> bytes | Deferred[bytes]:
        """Return the reply to one message (at most 4096 bytes) of one connection, now or by a Deferred.

        The connection is not read until the Deferred fires. The Deferred is cancelled if the connection ends first. If
        it fails, the connection is reset, because its client will not get the reply. A reply may be empty.
        """
