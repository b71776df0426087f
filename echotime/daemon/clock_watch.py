"""Read the kernel's synchronization status (adjtimex(2), RFC 5905), and suspend UDP replies while it is bad."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime

from echotime.daemon.periodic import PeriodicService
from echotime.logger import Logger
from echotime.services.datagram_policy import DatagramPolicy

try:
    from echotime.daemon import adjtimex
except ImportError:  # this Python has no ctypes
    adjtimex = None  # type: ignore[assignment]

POLL_INTERVAL = 1.0
"""Seconds between two reads of the status."""


class ClockState(NamedTuple):
    """The synchronization status of the system clock."""

    synchronized: bool | None
    """None if the kernel did not report it."""
    max_error: float = 0.0
    """Seconds."""
    reason: str = ""
    """Why the status is unknown."""

    def __str__(self) -> str:
        if self.synchronized is None:
            return f"unknown: {self.reason}"
        return f"synchronized, maximum error {self.max_error:.3f} s" if self.synchronized else "not synchronized"


def read_adjtimex() -> ClockState:
    """Return the current status. Reading needs no privilege, but a system call filter may forbid it."""
    if adjtimex is None:
        return ClockState(None, reason="this Python has no ctypes")
    try:
        timex = adjtimex.read_timex()
    except OSError as error:
        hint = ", because of a system call filter (ProtectClock= of systemd)" if error.errno == errno.EPERM else ""
        return ClockState(None, reason=f"{error.strerror or error}{hint}")
    return ClockState(not timex.status & adjtimex.STA_UNSYNC, timex.maxerror / 1e6)


class SyncMonitor(PeriodicService):
    """Mute the policies of UDP listeners while the clock is not synchronized or its status is unknown.

    `policies` returns those of all listeners, which may come and go. That of a new listener begins as `is_muted` says.
    """

    _log = Logger()

    def __init__(
        self,
        policies: Callable[[], Iterable[DatagramPolicy]],
        clock: IReactorTime,
        read_state: Callable[[], ClockState] = read_adjtimex,
    ) -> None:
        super().__init__(POLL_INTERVAL, clock, self._poll)
        self._policies = policies
        self._read_state = read_state
        self._muted: bool | None = None

    def is_muted(self) -> bool:
        """Return True if the last read has muted the policies."""
        return bool(self._muted)

    def _poll(self) -> None:
        state = self._read_state()
        muted = not state.synchronized
        policies = list(self._policies())
        for each in policies:
            each.set_muted(muted)
        # without UDP there are no replies to suspend; a listener of --behave may be opened later
        if not policies or muted is self._muted:
            return
        self._muted = muted
        if muted:
            self._log.warn("clock: {state}; UDP replies are suspended", state=str(state))
        else:
            self._log.info("clock: {state}; UDP replies are enabled", state=str(state))
