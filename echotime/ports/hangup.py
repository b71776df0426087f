"""Notices connections that ended while they were not read from.

A connection that is neither read from nor written to is in none of the reactor's sets, so a client that resets
meanwhile, as while its word is awaited, would hold its descriptor for as long as nobody answers.
"""

from __future__ import annotations

import select
from typing import Any

from twisted.internet import main
from twisted.internet.task import LoopingCall
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

INTERVAL = 1.0
"""Seconds between two looks at all that are watched."""
_GONE = select.POLLHUP | select.POLLERR


class HangupWatch:
    """Looks at paused connections once in a while, and only while there are any."""

    def __init__(self, clock: Any) -> None:
        self._paused: dict[int, Connection] = {}
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock

    def add(self, connection: Connection) -> None:
        """A connection is not read from any more."""
        self._paused[connection.fileno()] = connection
        if not self._looking.running:
            self._looking.start(INTERVAL, now=False)

    def remove(self, connection: Connection) -> None:
        """It is read from again, or over. Looking ends by itself: pauses are many and short under back-pressure."""
        self._paused.pop(connection.fileno(), None)

    def _look(self) -> None:
        if not self._paused:
            self._looking.stop()
            return
        poll = select.poll()
        for descriptor in self._paused:
            poll.register(descriptor, 0)
        for descriptor, event in poll.poll(0):
            # ended by an earlier one's end, perhaps
            connection = self._paused.get(descriptor)
            if connection is not None and event & _GONE:
                connection.connectionLost(Failure(main.CONNECTION_LOST))
