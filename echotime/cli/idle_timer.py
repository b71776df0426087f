"""Giving up when nothing has moved for a while."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class IdleTimer:
    """Calls a function when reset was not called for `timeout` seconds; None waits for ever."""

    def __init__(self, clock: IReactorTime, timeout: float | None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._delayed_call: IDelayedCall | None = None

    def start(self, on_idle: Callable[[], object]) -> None:
        """Count from now."""
        if self._timeout is not None:
            self._delayed_call = self._clock.callLater(self._timeout, on_idle)

    def reset(self) -> None:
        """Count from now again."""
        if self._delayed_call is not None and self._delayed_call.active() and self._timeout is not None:
            self._delayed_call.reset(self._timeout)

    def cancel(self) -> None:
        """Do not wait any longer."""
        if self._delayed_call is not None and self._delayed_call.active():
            self._delayed_call.cancel()
