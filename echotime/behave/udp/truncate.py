"""Truncate: send the beginning of an answer."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.udp.behavior import Fault
from echotime.behave.values import between
from echotime.limits.datagrams import Sender
from echotime.wire import timestamp


class Truncate(Fault):
    """Cut each answer. One address and port gets at most three empty answers to empty datagrams.

    Otherwise an echo server would send them back without end.
    """

    name = "truncate"
    size = Parameter(between(0, timestamp.SIZE - 1), 2, "Bytes of the answer that are sent.")

    @property
    def shortest_answer(self) -> int:
        return min(self.size, super().shortest_answer)

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        self.listener.send(response[: self.size], sender)
