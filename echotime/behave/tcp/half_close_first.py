"""HalfCloseFirst: half-close the connection before the client sends anything."""

from __future__ import annotations

from echotime.behave.tcp.behavior import Fault


class HalfCloseFirst(Fault):
    """Send a FIN at once, and read without an answer what the client sends, until its FIN."""

    name = "half_close_first"

    def opened(self) -> None:
        self.end_output(timeout=None)
