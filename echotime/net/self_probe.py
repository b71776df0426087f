"""What a UDP socket sends to itself: a question, to see whether it is answered, and the answer that comes back.

A socket needs no other one for that, so it can be asked in every sandbox, and in every network it was passed in from.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_TOKEN_SIZE = 16
"""Bytes of a question: nobody guesses it, and as much of a datagram is kept however many are taken at a time."""


class SelfProbe:
    """Knows its own questions by a secret, and answers by being owed and coming from where was asked.

    Over IPv6 that may be forged by a neighbour, unless it is the loopback address.
    """

    def __init__(self) -> None:
        self.token = os.urandom(_TOKEN_SIZE)
        self._pending = 0
        self._address: tuple[Any, ...] = ()
        self._on_reply: Callable[[bytes], bool] = lambda datagram: False

    def expect_from(self, address: tuple[Any, ...], on_reply: Callable[[bytes], bool]) -> None:
        """From now on `on_reply` is told what may be an answer from there, and says whether it is one.

        Answers to earlier questions that are still under way are heard as well.
        """
        self._address, self._on_reply = address, on_reply

    def is_probe(self, datagram: bytes) -> bool:
        """Whether what the socket sent to itself is a question, which the protocol is to answer."""
        if datagram != self.token:
            return False
        self._pending += 1
        return True

    def is_reply(self, datagram: bytes, source: tuple[Any, ...]) -> bool:
        """Whether it is an answer, whoever waits for it."""
        if not self._pending or source != self._address or datagram == self.token or not self._on_reply(datagram):
            return False
        self._pending -= 1
        return True
