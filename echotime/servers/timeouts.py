"""The end of connections that stay too long: without doing anything, half-closed, or at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator, LoopingCall, SchedulerStopped

from echotime.servers.echo import EchoFactory, EchoProtocol

_SHARE = 10
"""A connection is ended at most this part of the shortest timeout late."""
_SHORTEST_TICK, _LONGEST_TICK = 0.1, 1.0
_AT_ONCE = 256
"""So many are looked at before everybody else gets a turn."""
_GRACE = 5.0
"""Seconds that are left to a client to take what it is owed once its connection is closed from here."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds; None for any time."""

    idle: float | None = None
    """Without a message, and without reading any of what it is sent. Who is owed a word is not idle."""
    half_closed: float | None = None
    """After the client ended its side."""
    session: float | None = None
    """From beginning to end."""


class TimeoutWatch:
    """Looks at the connections of one factory, once in a while, and ends those whose time is over.

    One that is owed nothing is closed in order; else the client has to know that something is missing, by a reset.
    """

    def __init__(self, factory: EchoFactory, clock: IReactorTime, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self._factory = factory
        self._clock = clock
        self._looking = LoopingCall(self._look)
        self._turns = Cooperator(lambda: lambda: True, scheduler=lambda turn: clock.callLater(0, turn))

    def start(self) -> None:
        """Begin, if there is anything to look for."""
        given = [each for each in vars(self.timeouts).values() if each is not None]
        if not given:
            return
        self._tick = min(max(min(given) / _SHARE, _SHORTEST_TICK), _LONGEST_TICK)
        self._looked = self._awake = self._clock.seconds()
        # a new one, as the last look of another may still be under way
        self._looking = LoopingCall(self._look)
        self._looking.clock = self._clock
        # stopped in the middle of a look
        self._looking.start(self._tick, now=False).addErrback(lambda failure: failure.trap(SchedulerStopped))

    def change(self, timeouts: Timeouts) -> None:
        """Look for these from now on."""
        self._pause()
        self.timeouts = timeouts
        self.start()

    def stop(self) -> None:
        """End all looking."""
        self._pause()
        self._turns.stop()

    def _pause(self) -> None:
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> object:
        return self._turns.coiterate(self._at_all())

    def _now(self) -> float:
        now = self._clock.seconds()
        if now - self._looked > self._tick + _LONGEST_TICK:
            # the process was stopped, or very busy: what came meanwhile has not been read yet, and nobody was idle
            self._awake = now
        self._looked = now
        return now

    def _at_all(self) -> Iterator[None]:
        now = self._now()
        for number, connection in enumerate(list(self._factory.connections), 1):
            if connection in self._factory.connections:
                self._judge(connection, now)
            if not number % _AT_ONCE:
                yield
                now = self._now()

    def _judge(self, connection: EchoProtocol, now: float) -> None:
        counters = self._factory.traffic.counters
        if self.timeouts.half_closed is not None:
            connection.look_for_the_end()
        if self.timeouts.idle is not None:
            connection.look_for_reading()
        ended_at = connection.ended_at
        if ended_at is not None and not connection.half_closed:
            if _over(_GRACE, now - ended_at):
                connection.reset("server's reset")
        elif _over(self.timeouts.session, now - connection.since):
            counters.session_timeouts += 1
            self._end(connection, "session timeout")
        elif ended_at is not None:
            if _over(self.timeouts.half_closed, now - ended_at):
                counters.half_closed_timeouts += 1
                self._end(connection, "half-closed timeout")
        elif not connection.waiting and _over(self.timeouts.idle, now - max(connection.last_active, self._awake)):
            counters.idle_timeouts += 1
            self._end(connection, "idle timeout")

    def _end(self, connection: EchoProtocol, why: str) -> None:
        if connection.owes or connection.closing:
            connection.reset(f"reset at the {why}")
        else:
            connection.close(why)


def _over(limit: float | None, seconds: float) -> bool:
    return limit is not None and seconds >= limit
