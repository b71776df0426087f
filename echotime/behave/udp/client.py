"""UDPClient: let each datagram name the behavior of its answer."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from echotime.behave.spec import MAX_TEXT
from echotime.behave.udp.behavior import UDPBehavior
from echotime.limits.datagrams import Sender
from echotime.wire.escape import sanitize

_MAX_REMEMBERED = 256
"""Behaviors that are remembered, so that random numbers and held answers go on with the next datagram."""


class UDPClient(UDPBehavior):
    """Answer as the first line of a datagram says, ``KIND[:PARAMETER=VALUE,...]``, or as usual without such a line.

    A faulty line that begins with a kind is answered with ``error: REASON``, cut to the length of the datagram.
    """

    name = "client"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._chosen: OrderedDict[tuple[Sender, bytes], UDPBehavior] = OrderedDict()
        """By sender and line. The one that was used longest ago is first."""

    def handle(self, datagram: bytes, response: bytes, sender: Sender) -> None:
        line, end, _rest = datagram[: MAX_TEXT + 1].partition(b"\n")
        try:
            behavior = self._behavior(line, sender) if end else None
        except ValueError as error:
            response = f"error: {sanitize(str(error))}\n".encode()[: len(datagram)]
            behavior = None
        if behavior is None:
            self.listener.send(response, sender)
        else:
            behavior.handle(datagram, response, sender)

    def _behavior(self, line: bytes, sender: Sender) -> UDPBehavior | None:
        key = sender, line
        behavior = self._chosen.get(key) or self.listener.choose(line)
        if behavior is not None:
            self._chosen[key] = behavior
            self._chosen.move_to_end(key)
            if len(self._chosen) > _MAX_REMEMBERED:
                self._chosen.popitem(last=False)
        return behavior
