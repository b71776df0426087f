"""Context: what the TCP behaviors of a listener share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from echotime.behave.tcp.interposer import Interposer
from echotime.services.tcp_echo import EchoProtocol

MAX_ENDED = 1000
"""Ended connections that are remembered, the last ones."""


class EndedConnection(NamedTuple):
    """Hold how a connection ended, and the bytes after the line that chose its behavior."""

    ended: str
    bytes_in: int
    bytes_out: int


class EndedConnections:
    """Remember the last connections whose clients gave them an id."""

    def __init__(self) -> None:
        self._by_id: OrderedDict[str, EndedConnection] = OrderedDict()

    def add(self, identifier: str, ended: EndedConnection) -> None:
        """Remember the end of a connection, and forget the oldest one if there are too many."""
        self._by_id[identifier] = ended
        self._by_id.move_to_end(identifier)
        if len(self._by_id) > MAX_ENDED:
            self._by_id.popitem(last=False)

    def get(self, identifier: str) -> EndedConnection | None:
        """Return how a connection ended, None if that is not known."""
        return self._by_id.get(identifier)


@dataclass
class Context:
    """Hold the random numbers of one connection, and what it shares with the others."""

    random: Random
    ended: EndedConnections
    choose: Callable[[str, EchoProtocol], Interposer]
    """Returns the behavior that a client names. Raises ValueError."""
