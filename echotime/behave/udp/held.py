"""HeldAnswers: the answers that the behaviors of one listener hold back, in bounded number."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

MAX_HELD = 1000
"""Answers that are held back on one listener."""


class HeldAnswers:
    """Call functions later, at most MAX_HELD at a time."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timers: set[IDelayedCall] = set()

    def hold(self, delay: float, send: Callable[[], object]) -> Callable[[], None] | None:
        """Call `send` after `delay` seconds, or once the function that is returned is called.

        Return None, and call nothing, if too many are held.
        """
        if len(self._timers) >= MAX_HELD:
            return None

        def release() -> None:
            if timer in self._timers:
                self._timers.discard(timer)
                if timer.active():
                    timer.cancel()
                send()

        timer = self._clock.callLater(delay, release)
        self._timers.add(timer)
        return release

    def stop(self) -> None:
        """Forget all answers, because the listener closes."""
        for each in self._timers:
            each.cancel()
        self._timers.clear()
