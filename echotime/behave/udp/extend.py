"""Extend: send a longer answer."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.udp.behavior import Fault
from echotime.behave.values import between
from echotime.limits.datagrams import Sender
from echotime.wire import timestamp

MAX_GROWTH = 16
"""Bytes by which an answer to another host may be longer than the datagram.

Both are then the same length on an Ethernet, whose shortest frame has 18 bytes for the contents of a datagram.
"""
_MAX_SIZE = 65507
"""The longest datagram over IPv4."""


class Extend(Fault):
    """Add zero bytes to each answer. To another host it is at most 16 bytes longer than its datagram."""

    name = "extend"
    size = Parameter(between(timestamp.SIZE + 1, _MAX_SIZE), 8, "Bytes that are sent, four of them the answer.")

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        size = self.size if self.is_local(sender) else min(self.size, len(datagram) + MAX_GROWTH)
        self.listener.send(response.ljust(size, b"\0"), sender)
