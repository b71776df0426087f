"""Limit a whole run to one time, whatever steps it consists of: the lookup, connecting, and the exchange."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from echotime.client.exit_status import ClientError

T = TypeVar("T")


class Deadline:
    """Hold the moment at which a run ends, `seconds` from now. None: the run has no limit."""

    def __init__(self, clock: IReactorTime, seconds: float | None) -> None:
        self._clock = clock
        self._ends_at = None if seconds is None else clock.seconds() + seconds

    @property
    def remaining(self) -> float | None:
        """The seconds that are left, at least 0."""
        return None if self._ends_at is None else max(self._ends_at - self._clock.seconds(), 0.0)

    def within(self, seconds: float) -> Deadline:
        """Return a deadline for a part of the run, at most `seconds` from now."""
        remaining = self.remaining
        return Deadline(self._clock, seconds if remaining is None else min(seconds, remaining))

    def limit(self, step: Deferred[T], error: ClientError) -> Deferred[T]:
        """Cancel a step at the deadline, so that it fails with this error."""
        remaining = self.remaining
        if remaining is None:
            return step

        def fail(result: object, seconds: float) -> T:
            raise error

        return step.addTimeout(remaining, self._clock, fail)
