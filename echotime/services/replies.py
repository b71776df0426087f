"""Reply to each message of a TCP connection: IReplySource, and the source of the default reply."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from zope.interface import Interface, implementer


class IReplySource(Interface):
    """Reply to each message of a TCP connection, such as an operator does. A constant reply needs no source."""

    def reply_to(message: bytes, peer: IAddress) -> bytes | Deferred[bytes | None] | None:
        """Return the reply to one message (at most 4096 bytes) of one connection, now or by a Deferred.

        The connection is not read until the Deferred fires. The Deferred is cancelled if the connection ends first. If
        it fails, the connection is reset, because its client will not get the reply. A reply may be empty. None stands
        for the default reply (EchoFactory.set_reply).
        """


@implementer(IReplySource)
class DefaultReplies:
    """Give every message the default reply, where acknowledgement or reply differ between messages."""

    def reply_to(self, message: bytes, peer: IAddress) -> None:
        """Return None, which stands for the default reply."""
