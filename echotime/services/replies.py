"""Reply to each message of a TCP connection: IReplySource, and the source that gives every message the same text."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from zope.interface import Interface, implementer

from echotime.wire.template import Text


class IReplySource(Interface):
    """Reply to each message of a TCP connection, such as an operator does. A constant reply needs no source."""

    def reply_to(message: bytes, peer: IAddress) -> Text | Deferred[Text]:
        """Return the reply to one message (at most 4096 bytes) of one connection, now or by a Deferred.

        The connection is not read until the Deferred fires. The Deferred is cancelled if the connection ends first. If
        it fails, the connection is reset, because its client will not get the reply. A reply may be empty. The
        protocol fills in a Template.
        """


@implementer(IReplySource)
class SameReplies:
    """Give every message the same reply, the places of which get other values for each one."""

    def __init__(self, reply: Text) -> None:
        self._reply = reply

    def reply_to(self, message: bytes, peer: IAddress) -> Text:
        return self._reply
