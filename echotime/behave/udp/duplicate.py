"""Duplicate: answer a datagram more than once."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.udp.behavior import Fault
from echotime.behave.values import between
from echotime.limits.datagrams import Sender


class Duplicate(Fault):
    """Send each answer more than once. Each copy counts for the rate limit, which leaves out those above it."""

    name = "duplicate"
    copies = Parameter(between(2, 10), 2, "How often an answer is sent.")

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        self.listener.send(response, sender)
        for _ in range(self.copies - 1):
            if self.listener.may_send_more(sender):
                self.listener.send(response, sender)
