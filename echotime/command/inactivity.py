"""Giving up when nothing has moved for a while."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Inactivity:
    """Calls a function when moved was not called for `seconds`; None waits for ever."""

    def __init__(self, clock: IReactorTime, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._call: IDelayedCall | None = None

    def begin(self, act: Callable[[], object]) -> None:
        """Count from now."""
        if self._seconds is not None:
            self._call = self._clock.callLater(self._seconds, act)

    def moved(self) -> None:
        """Count from now again."""
        if self._call is not None and self._call.active() and self._seconds is not None:
            self._call.reset(self._seconds)

    def end(self) -> None:
        """Do not wait any longer."""
        if self._call is not None and self._call.active():
            self._call.cancel()
