"""Show what a server sends on a terminal."""

from __future__ import annotations

import os
import sys

from echotime.wire.escape import TerminalDecoder


class TerminalSink:
    """Show received bytes on a terminal, decoded and with control characters escaped."""

    is_line_open = False
    """True if the last line that was shown has not ended."""

    def __init__(self, encoding: str) -> None:
        self._decoder = TerminalDecoder(encoding)

    def write(self, data: bytes) -> None:
        self._show(self._decoder.feed(data))

    async def finish(self) -> None:
        """Show the bytes of an incomplete character."""
        self._show(self._decoder.feed(b"", final=True))

    @staticmethod
    def _show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        if text:
            TerminalSink.is_line_open = not text.endswith("\n")

    @classmethod
    def end_line(cls) -> None:
        """End an open line before a message, if standard error is the same terminal."""
        if cls.is_line_open and os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno()):
            sys.stdout.write("\n")
            sys.stdout.flush()
            cls.is_line_open = False
