"""Sliced: send answers in pieces, with a pause after each."""

from __future__ import annotations

from typing import Any

from echotime.behave.tcp.behavior import Fault

MIN_GAP = 0.001
"""Shortest pause in seconds, so that one client cannot keep the daemon busy with tiny pieces."""


class Sliced(Fault):
    """Send answers in pieces of `next_size` bytes, and pause for `gap_after` after each."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._buffer = bytearray()
        self._pausing = False

    def next_size(self) -> int:
        """Return the size of the next piece in bytes."""
        raise NotImplementedError

    def gap_after(self, size: int) -> float:
        """Return the pause in seconds after a piece of `size` bytes."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        self._buffer += data
        self.held += len(data)
        if not self._pausing:
            self._send_piece()

    def _send_piece(self) -> None:
        self._pausing = bool(self._buffer)
        if self._pausing:
            size = self.next_size()
            piece = bytes(self._buffer[:size])
            del self._buffer[:size]
            self.later(max(MIN_GAP, self.gap_after(len(piece))), self._send_piece)
            self.send(piece)
            self.held -= len(piece)
