"""Where the words come from that follow each acknowledgement: the seam, and its two simplest sources."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from zope.interface import Attribute, Interface, implementer


class IReplySource(Interface):
    """Whoever decides what is said to a client after its message: nobody, a fixed word, a person."""

    constant = Attribute(
        "The word (bytes) for every message, where it is always the same; then nobody is asked. None if not."
    )

    def reply_to(message: bytes, peer: IAddress) -> bytes | Deferred[bytes]:
        """The word for one message (at most 4096 bytes) of one connection: now, or later by a Deferred.

        Until a Deferred fires, nothing more is read from that connection. It is cancelled when the
        connection ends first. Failing it resets the connection: the client is owed a word and will
        not get it. An empty word is a word.
        """


@implementer(IReplySource)
class NoReply:
    """No word is ever due."""

    constant = b""

    def reply_to(self, message: bytes, peer: IAddress) -> bytes:
        """Nothing, at once."""
        return b""


@implementer(IReplySource)
class FixedReply:
    """The same word for every message."""

    def __init__(self, reply: bytes) -> None:
        self.constant = reply

    def reply_to(self, message: bytes, peer: IAddress) -> bytes:
        """The word, at once."""
        return self.constant
