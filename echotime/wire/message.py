"""The constants of a TCP message and its answer."""

from __future__ import annotations

MESSAGE_SIZE = 4096
"""The most bytes of one message: what one recv may return (seed: ``clientsock.recv(4096)``)."""

ACKNOWLEDGEMENT = b"\nI get it!\n"
"""The 11 bytes that follow each echo unless ``--ack`` says otherwise (seed: tcpserver.py)."""
