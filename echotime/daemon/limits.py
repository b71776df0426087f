"""The limits of connections: how many there is room for, said at start, and the timeouts, kept while it runs."""

from __future__ import annotations

import resource
from typing import NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from echotime.servers.admission import AdmissionLimits
from echotime.servers.timeouts import TimeoutMonitor

RESERVED_FDS = 64
"""Descriptors that are left for all else: listeners, operators, the log; and connections that are being ended."""
_PER_SOURCE_DIVISOR = 4
"""Of all connections one source may have this part, where nothing else was asked."""
_MAX_DESCRIPTORS = 2**20
"""What stands for no limit: fs.nr_open, mostly."""


class Capacity(NamedTuple):
    """How many connections there may be, and why; `descriptors` is the limit of them."""

    requested: int | None
    limits: AdmissionLimits
    descriptors: int


def compute_capacity(connections: int | None, per_source: int | None) -> Capacity:
    """What fits, of what was asked. The limit of descriptors is raised for what was asked alone."""
    descriptors = _raise_fd_limit(connections)
    available = descriptors - min(RESERVED_FDS, descriptors // 2)
    maximum = available if connections is None else min(connections, available)
    # half of what is left is for those that gave way, and are not over yet
    return Capacity(
        connections,
        AdmissionLimits(maximum, per_source or max(1, maximum // _PER_SOURCE_DIVISOR), (descriptors - maximum) // 2),
        descriptors,
    )


def _raise_fd_limit(connections: int | None) -> int:
    soft, hard = (
        _MAX_DESCRIPTORS if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    wanted = soft if connections is None else min(hard, connections + RESERVED_FDS)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted, soft)


class LimitsService(Service):
    """Says what holds, and lets `timeouts` watch."""

    _log = Logger()

    def __init__(self, capacity: Capacity, timeouts: TimeoutMonitor) -> None:
        self._capacity = capacity
        self._timeouts = timeouts

    def startService(self) -> None:
        """Begin."""
        super().startService()
        limits = self._capacity.limits
        self._log.info(
            "at most {connections} connections, {per_source} from one source",
            connections=limits.max_connections,
            per_source=limits.max_per_source,
        )
        if self._capacity.requested is not None and self._capacity.requested != limits.max_connections:
            self._log.warn(
                "--max-connections asked {asked}, effective {connections}: "
                "the limit of {descriptors} descriptors bounds it (RLIMIT_NOFILE)",
                asked=self._capacity.requested,
                connections=limits.max_connections,
                descriptors=self._capacity.descriptors,
            )
        self._timeouts.start()

    def stopService(self) -> Deferred[None]:
        """From now on the drain sees to it that connections end."""
        super().stopService()
        self._timeouts.stop()
        return succeed(None)
