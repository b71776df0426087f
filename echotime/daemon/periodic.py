"""What is done again and again while the daemon runs: Twisted's TimerService, for a daemon that may fail to start."""

from __future__ import annotations

from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime


class PeriodicService(TimerService):
    """Calls `callback` at the start and every `interval` by `clock`. One that was not started may be stopped, too."""

    def __init__(self, interval: float, clock: IReactorTime, callback: Any) -> None:
        super().__init__(interval, callback)
        self.clock = clock

    def stopService(self) -> Deferred[None]:
        """End, if it has begun."""
        stopped: Deferred[None] = super().stopService() if self.running else succeed(None)
        return stopped
