"""A time that may be wrong is not told, if so asked: the UDP service is silent while the clock is not synchronized."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echotime.daemon.kernel_clock import ClockState, clock_state
from echotime.daemon.periodic import Periodic
from echotime.servers.time import TimeProtocol

INTERVAL = 1.0
"""Seconds from one look to the next."""


class ClockWatch(Periodic):
    """Lets `answering` be silent while `state` says that the clock is not synchronized, or nothing."""

    _log = Logger()

    def __init__(
        self,
        answering: Sequence[TimeProtocol],
        clock: IReactorTime,
        state: Callable[[], ClockState] = clock_state,
    ) -> None:
        super().__init__(INTERVAL, clock, self._look)
        self._answering = answering
        self._state = state
        self._silent: bool | None = None

    def _look(self) -> None:
        state = self._state()
        silent = not state.synchronized
        if silent is self._silent:
            return
        self._silent = silent
        for each in self._answering:
            each.be_silent(silent)
        if silent:
            self._log.warn("the clock is {state}: UDP is silent until it is synchronized", state=str(state))
        else:
            self._log.info("the clock is {state}: UDP answers", state=str(state))
