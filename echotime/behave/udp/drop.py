"""Drop: leave datagrams without an answer."""

from __future__ import annotations

from echotime.behave.udp.behavior import Fault
from echotime.limits.datagrams import Sender


class Drop(Fault):
    """Answer nothing, as if the datagram or the answer was lost."""

    name = "drop"

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        sender.reply_failed = True  # for the log
