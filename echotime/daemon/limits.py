"""The limits of connections: how many there is room for, said at start, and the timeouts, kept while it runs."""

from __future__ import annotations

import resource
from typing import NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from echotime.servers.admission import Limits
from echotime.servers.timeouts import TimeoutWatch

RESERVE = 64
"""Descriptors that are left for all else: listeners, operators, the log; and connections that are being ended."""
_SHARE = 4
"""Of all connections one source may have this part, where nothing else was asked."""
_MOST_DESCRIPTORS = 2**20
"""What stands for no limit: fs.nr_open, mostly."""


class Room(NamedTuple):
    """How many connections there may be, and why; `descriptors` is the limit of them."""

    asked: int | None
    limits: Limits
    descriptors: int


def room(connections: int | None, per_source: int | None) -> Room:
    """What fits, of what was asked. The limit of descriptors is raised for what was asked alone."""
    descriptors = _descriptors(connections)
    fits = descriptors - min(RESERVE, descriptors // 2)
    most = fits if connections is None else min(connections, fits)
    # half of what is left is for those that gave way, and are not over yet
    return Room(connections, Limits(most, per_source or max(1, most // _SHARE), (descriptors - most) // 2), descriptors)


def _descriptors(connections: int | None) -> int:
    soft, hard = (
        _MOST_DESCRIPTORS if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    wanted = soft if connections is None else min(hard, connections + RESERVE)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted, soft)


class ConnectionLimits(Service):
    """Says what holds, and lets `timeouts` watch."""

    _log = Logger()

    def __init__(self, room: Room, timeouts: TimeoutWatch) -> None:
        self._room = room
        self._timeouts = timeouts

    def startService(self) -> None:
        """Begin."""
        super().startService()
        limits = self._room.limits
        self._log.info(
            "at most {connections} connections, {per_source} from one source",
            connections=limits.connections,
            per_source=limits.per_source,
        )
        if self._room.asked is not None and self._room.asked != limits.connections:
            self._log.warn(
                "--max-connections asked {asked}, effective {connections}: "
                "the limit of {descriptors} descriptors bounds it (RLIMIT_NOFILE)",
                asked=self._room.asked,
                connections=limits.connections,
                descriptors=self._room.descriptors,
            )
        self._timeouts.start()

    def stopService(self) -> Deferred[None]:
        """From now on the drain sees to it that connections end."""
        super().stopService()
        self._timeouts.stop()
        return succeed(None)
