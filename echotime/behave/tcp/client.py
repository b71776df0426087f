"""Client: let the client choose the behavior of its connection."""

from __future__ import annotations

from typing import Any

from echotime.behave.spec import MAX_TEXT
from echotime.behave.tcp.behavior import TCPBehavior
from echotime.wire.escape import sanitize

LINE_TIMEOUT = 3.0
"""Seconds in which the first line must be complete."""


class Client(TCPBehavior):
    """Read a line ``KIND[:PARAMETER=VALUE,...]`` of at most 256 bytes, and behave like that from then on.

    The line is not echoed. A faulty line, or none in 3 seconds, is answered with ``error: REASON`` and a FIN.
    """

    name = "client"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._received = b""

    def opened(self) -> None:
        self.later(LINE_TIMEOUT, self._expire)

    def received(self, data: bytes) -> None:
        self._received += data
        line, newline, rest = self._received.partition(b"\n")
        if len(line) > MAX_TEXT:
            self._refuse(f"the first line is longer than {MAX_TEXT} bytes")
        elif newline:
            self._choose(line.decode("ascii", "backslashreplace").rstrip("\r"), rest)

    def _choose(self, text: str, rest: bytes) -> None:
        try:
            chosen = self.context.choose(text, self.echo)
        except ValueError as error:
            self._refuse(str(error))
            return
        chosen.take_over(self)
        if rest:
            chosen.dataReceived(rest)

    def client_ended(self) -> None:
        if self._received:
            self._refuse("the first line has no end")
        else:
            super().client_ended()  # a check of the port alone

    def _expire(self) -> None:
        """Refuse the connection, unless the line was in the receive queue while the process could not run."""
        self.later(0, self._refuse, f"no line within {LINE_TIMEOUT:g} s")

    def _refuse(self, reason: str) -> None:
        self.send(f"error: {sanitize(reason)}\n".encode())
        self.end_output()
