"""Delay: answer a datagram later."""

from __future__ import annotations

from echotime.behave.spec import Parameter
from echotime.behave.udp.behavior import Fault
from echotime.behave.values import seconds
from echotime.limits.datagrams import Sender


class Delay(Fault):
    """Delay each answer. With a jitter answers overtake each other."""

    name = "delay"
    delay = Parameter(seconds(), 0.1, "Time that an answer is delayed.")
    jitter = Parameter(seconds(), 0.0, "Maximum variation of the delay, up or down.")

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        delay = max(0.0, self.delay + self.random.uniform(-self.jitter, self.jitter))
        self.listener.hold(delay, response, sender)
