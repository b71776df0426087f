"""A TimerService that can be stopped without having been started."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime


class PeriodicService(TimerService):
    """Call `callback` at the start and then every `interval` seconds of `clock`.

    TimerService.stopService raises an exception if another service failed to start first. This one does not.
    """

    def __init__(self, interval: float, clock: IReactorTime, callback: Callable[[], object]) -> None:
        super().__init__(interval, callback)
        self.clock = clock

    def stopService(self) -> Deferred[None]:
        stopped: Deferred[None] = super().stopService() if self.running else succeed(None)
        return stopped
