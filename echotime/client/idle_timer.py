"""Notice that a session is idle."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class IdleTimer:
    """Call a function when `reset` was not called for `timeout` seconds. None disables the timer."""

    def __init__(self, clock: IReactorTime, timeout: float | None) -> None:
        self._clock = clock
        self._timeout = timeout
        self._delayed_call: IDelayedCall | None = None

    def start(self, on_idle: Callable[[], object]) -> None:
        """Start the timer with this function."""
        if self._timeout is not None:
            self._delayed_call = self._clock.callLater(self._timeout, on_idle)

    def reset(self) -> None:
        """Start the time again, if the timer is running."""
        if self._delayed_call is not None and self._delayed_call.active() and self._timeout is not None:
            self._delayed_call.reset(self._timeout)

    def cancel(self) -> None:
        """Stop the timer if it is running."""
        if self._delayed_call is not None and self._delayed_call.active():
            self._delayed_call.cancel()
