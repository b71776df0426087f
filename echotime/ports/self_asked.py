"""What a UDP socket sends to itself: a question, to see whether it is answered, and the answer that comes back.

A socket needs no other one for that, so it can be asked in every sandbox, and in every network it was passed in from.
"""

from __future__ import annotations

import os
from collections.abc import Callable

_SIZE = 16
"""Bytes of a question: nobody guesses it, and as much of a datagram is kept however many are taken at a time."""


class SelfAsked:
    """Knows its own questions by a secret, and the answers by being owed."""

    def __init__(self) -> None:
        self.question = os.urandom(_SIZE)
        self.hears: Callable[[bytes], object] | None = None
        """Who waits for the answer."""
        self._owed = 0

    def asks(self, datagram: bytes) -> bool:
        """Whether what the socket sent to itself is a question, which the protocol is to answer."""
        if datagram != self.question:
            return False
        self._owed += 1
        return True

    def answers(self, datagram: bytes) -> bool:
        """Whether it is an answer, which goes to who waits for it."""
        if not self._owed or datagram == self.question:
            return False
        self._owed -= 1
        if self.hears is not None:
            self.hears(datagram)
        return True
