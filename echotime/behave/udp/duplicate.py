"""Duplicate: answer a datagram more than once."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.udp.behavior import Fault
from echotime.behave.values import between
from echotime.limits.datagrams import Sender

_PACKET = 32
"""Bytes of an answer with its headers, over IPv4."""


class Duplicate(Fault):
    """Send each answer more than once. The rate limit counts each copy. Copies above the limit are not sent.

    Another host gets at most two, and one more for each 32 bytes of its datagram.
    """

    name = "duplicate"
    copies = Parameter(between(2, 10), 2, "Number of times that each answer is sent.")

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        self.listener.send(response, sender)
        copies = self.copies if self.is_local(sender) else min(self.copies, 2 + len(datagram) // _PACKET)
        for _ in range(copies - 1):
            if self.listener.may_send_more(sender):
                self.listener.send(response, sender)
