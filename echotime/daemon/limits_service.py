"""The connection limits as a service: logs them at start, and runs the timeouts while the daemon serves."""

from __future__ import annotations

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed

from echotime.limits.capacity import Capacity
from echotime.logger import Logger
from echotime.services.timeouts import TimeoutMonitor


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
