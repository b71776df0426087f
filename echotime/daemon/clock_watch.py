"""A time that may be wrong is not told, if so asked: the UDP service is silent while the clock is not synchronized."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from echotime.daemon.periodic import PeriodicService
from echotime.services.datagram_policy import DatagramPolicy
from echotime.systemd.kernel_clock import ClockState, read_adjtimex

POLL_INTERVAL = 1.0
"""Seconds from one look to the next."""


class SyncMonitor(PeriodicService):
    """Lets `policies` be silent while `read_state` says that the clock is not synchronized, or nothing."""

    _log = Logger()

    def __init__(
        self,
        policies: Sequence[DatagramPolicy],
        clock: IReactorTime,
        read_state: Callable[[], ClockState] = read_adjtimex,
    ) -> None:
        super().__init__(POLL_INTERVAL, clock, self._poll)
        self._policies = policies
        self._read_state = read_state
        self._muted: bool | None = None

    def _poll(self) -> None:
        state = self._read_state()
        muted = not state.synchronized
        if muted is self._muted:
            return
        self._muted = muted
        for each in self._policies:
            each.set_muted(muted)
        if muted:
            self._log.warn("the clock is {state}: UDP is silent until it is synchronized", state=str(state))
        else:
            self._log.info("the clock is {state}: UDP answers", state=str(state))
