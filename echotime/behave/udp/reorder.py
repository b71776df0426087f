"""Reorder: send an answer after the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from echotime.behave.spec import Parameter
from echotime.behave.udp.behavior import Fault
from echotime.behave.values import seconds
from echotime.limits.datagrams import Sender


class Reorder(Fault):
    """Hold an answer back until the next one to the same address and port has been sent, so each pair is swapped."""

    name = "reorder"
    delay = Parameter(seconds(), 1.0, "Longest time that an answer is held back if there is no next one.")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._release: dict[Sender, Callable[[], None]] = {}
        """Sends the answer that is held back, by address and port."""

    def handle(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        if release := self._release.get(sender):
            self.listener.send(response, sender)
            release()
        else:
            super().handle(datagram, response, sender)

    def answer(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        release = self.listener.hold(self.delay, response, sender, lambda: self._release.pop(sender))
        if release is not None:
            self._release[sender] = release
