"""Log the connection limits at the start, and run the connection timeouts until the stop."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from echotime.limits.capacity import Capacity
from echotime.logger import Logger
from echotime.services.timeouts import TimeoutMonitor

_log = Logger()


def warn_of_shortfall(capacity: Capacity) -> None:
    """Log a warning if fewer connections are possible than requested."""
    if capacity.requested is not None and capacity.requested != capacity.limits.max_connections:
        _log.warn(
            "--max-connections: requested {requested}, effective {connections}, because {cause}",
            requested=capacity.requested,
            connections=capacity.limits.max_connections,
            cause=capacity.cause,
        )


class LimitsService(Service):
    """Log `capacity`, and run `timeouts` while the daemon serves."""

    def __init__(self, capacity: Capacity, timeouts: TimeoutMonitor) -> None:
        self._capacity = capacity
        self._timeouts = timeouts

    def startService(self) -> None:
        super().startService()
        limits = self._capacity.limits
        _log.info(
            "connection limits: {connections} in all, {per_source} per source",
            connections=limits.max_connections,
            per_source=limits.max_per_source,
        )
        warn_of_shortfall(self._capacity)
        self._timeouts.start()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        # the drain has a time limit of its own
        self._timeouts.stop()
        return succeed(None)
