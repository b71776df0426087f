"""SelfProbe: the datagrams by which the health check asks a UDP socket for the time, over the socket itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_TOKEN_SIZE = 16
"""Bytes of a probe: too many to guess, and fewer than recvmmsg(2) keeps of each datagram (mmsg.SNAPLEN)."""


class SelfProbe:
    """Recognize the health check's probes, and the replies to them, which a UDP socket sends to itself.

    A socket that sends to itself needs no other socket, so the probe works in every sandbox and network namespace.

    A probe is recognized by its secret token. A reply is recognized by a probe that is pending and by its source. Over
    IPv6 a neighbor can forge this source, unless it is the loopback address.
    """

    def __init__(self) -> None:
        self.token = os.urandom(_TOKEN_SIZE)
        self._pending = 0
        self._address: tuple[Any, ...] = ()
        self._on_reply: Callable[[bytes], bool] = lambda datagram: False

    def expect_from(self, address: tuple[Any, ...], on_reply: Callable[[bytes], bool]) -> None:
        """Pass possible replies from an address to `on_reply`, which returns True for a reply.

        Late replies to earlier probes are passed, too.
        """
        self._address, self._on_reply = address, on_reply

    def is_probe(self, datagram: bytes) -> bool:
        """Return True if a datagram from the socket itself is a probe. The protocol must then reply to it."""
        if datagram != self.token:
            return False
        self._pending += 1
        return True

    def is_reply(self, datagram: bytes, source: tuple[Any, ...]) -> bool:
        """Return True if a datagram from the socket itself is the reply to a probe."""
        if not self._pending or source != self._address or datagram == self.token or not self._on_reply(datagram):
            return False
        self._pending -= 1
        return True
