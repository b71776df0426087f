"""Define the constants of a TCP message and what follows its echo."""

from __future__ import annotations

MESSAGE_SIZE = 4096
"""Maximum bytes of one message, which is what one recv may return (original script: ``clientsock.recv(4096)``)."""

ACKNOWLEDGEMENT = b"\nI get it!\n"
"""The 11 bytes that follow each echo unless ``--ack`` changes them (original script: tcpserver.py)."""
