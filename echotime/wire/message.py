"""The answer to one TCP message: echo, acknowledgement, word. No connection, no state."""

from __future__ import annotations

MESSAGE_SIZE = 4096
"""The most bytes of one message: what one recv may return (seed: ``clientsock.recv(4096)``)."""

ACKNOWLEDGEMENT = b"\nI get it!\n"
"""The 11 bytes that follow each echo unless ``--ack`` says otherwise (seed: tcpserver.py)."""


def build_reply(message: bytes, acknowledgement: bytes = ACKNOWLEDGEMENT, reply: bytes = b"") -> bytes:
    """The bytes owed for one message: the message unchanged, the acknowledgement, the word.

    A word that is not known yet is left out here and written alone when it comes.
    """
    return message + acknowledgement + reply
