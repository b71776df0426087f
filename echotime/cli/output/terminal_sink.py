"""Show what a server sends on a terminal."""

from __future__ import annotations

import sys

from echotime.wire.escape import TerminalDecoder


class TerminalSink:
    """Show received bytes on a terminal, decoded and with control characters escaped."""

    def __init__(self, encoding: str) -> None:
        self._decoder = TerminalDecoder(encoding)

    def write(self, data: bytes) -> None:
        sys.stdout.write(self._decoder.feed(data))
        sys.stdout.flush()

    async def finish(self) -> None:
        """Show the bytes of an incomplete character."""
        sys.stdout.write(self._decoder.feed(b"", final=True))
        sys.stdout.flush()
