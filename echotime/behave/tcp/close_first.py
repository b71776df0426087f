"""CloseFirst: send a FIN instead of the first answer."""

from __future__ import annotations

from echotime.behave.tcp.behavior import Fault


class CloseFirst(Fault):
    """Send a FIN when the first data arrives, before any answer. Five seconds later the connection is closed."""

    name = "close_first"

    def received(self, data: bytes) -> None:
        self.end_output()
