"""Drop: leave datagrams without an answer."""

from __future__ import annotations

from typing import Any

from echotime.behave.udp.behavior import UDPBehavior


class Drop(UDPBehavior):
    """Answer nothing, as if the datagram or the answer was lost."""

    name = "drop"

    def answer(self, datagram: bytes, response: bytes, sender: Any) -> None:
        pass
