"""Log the connection limits at the start, and run the connection timeouts until the stop."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from echotime.limits.capacity import Capacity
from echotime.logger import Logger
from echotime.services.timeouts import TimeoutMonitor


class LimitsService(Service):
    """Log `capacity`, and run `timeouts` while the daemon serves."""

    _log = Logger()

    def __init__(self, capacity: Capacity, timeouts: TimeoutMonitor) -> None:
        self._capacity = capacity
        self._timeouts = timeouts

    def startService(self) -> None:
        super().startService()
        limits = self._capacity.limits
        self._log.info(
            "connection limits: {connections} in all, {per_source} per source",
            connections=limits.max_connections,
            per_source=limits.max_per_source,
        )
        if self._capacity.requested is not None and self._capacity.requested != limits.max_connections:
            self._log.warn(
                "--max-connections: requested {requested}, effective {connections}, because {cause}",
                requested=self._capacity.requested,
                connections=limits.max_connections,
                cause=self._capacity.cause,
            )
        self._timeouts.start()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        # the drain has a time limit of its own
        self._timeouts.stop()
        return succeed(None)
