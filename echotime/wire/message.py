"""Build what the daemon sends for one TCP message: the echo, the acknowledgement and the reply."""

from __future__ import annotations

MESSAGE_SIZE = 4096
"""Maximum bytes of one message, which is what one recv may return (original script: ``clientsock.recv(4096)``)."""

ACKNOWLEDGEMENT = b"\nI get it!\n"
"""The 11 bytes that follow each echo unless ``--ack`` changes them (original script: tcpserver.py)."""


def build_reply(message: bytes, acknowledgement: bytes = ACKNOWLEDGEMENT, reply: bytes = b"") -> bytes:
    """Return the message unchanged, then the acknowledgement, then the reply.

    A reply that an operator has yet to give is left out here, and written later by itself.
    """
    return message + acknowledgement + reply
