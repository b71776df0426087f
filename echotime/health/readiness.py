"""Tell whether new clients should be sent to the daemon. The control socket and the service manager ask here."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime


class Readiness:
    """Tell whether the daemon is ready for new clients: until the first reason to stop, although ports may stay open.

    `on_withdrawn` is called once, when readiness is withdrawn.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._closes_at: float | None = None
        self.on_withdrawn: Callable[[], object] = lambda: None

    @property
    def is_ready(self) -> bool:
        return self._closes_at is None

    @property
    def seconds_left(self) -> float | None:
        """Return the seconds until the ports are closed, 0 if they are, or None while the daemon is ready."""
        return None if self._closes_at is None else max(0.0, self._closes_at - self._clock.seconds())

    def withdraw(self, delay: float = 0.0) -> None:
        """Withdraw readiness, because the ports are to be closed in `delay` seconds, or earlier as said before."""
        was_ready, closes_at = self.is_ready, self._clock.seconds() + delay
        self._closes_at = closes_at if self._closes_at is None else min(self._closes_at, closes_at)
        if was_ready:
            self.on_withdrawn()
