"""TimeoutMonitor: end connections that are idle, half-closed, or open for too long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator, LoopingCall, SchedulerStopped

from echotime.services.echo_factory import EchoFactory
from echotime.services.tcp_echo import EchoProtocol

_TICK_DIVISOR = 10
"""A connection is ended late by at most the shortest timeout divided by this number."""
_MIN_TICK, _MAX_TICK = 0.1, 1.0
_CHECKS_PER_STEP = 256
"""Connections that are checked before the reactor gets a turn."""


@dataclass(frozen=True)
class Timeouts:
    """Hold the timeouts of connections in seconds; None for no timeout."""

    idle: float | None = None
    """Since the last message or acknowledged output.

    A connection that awaits a reply is not idle, once the client has acknowledged all output.
    """
    half_closed: float | None = None
    """Since the client's FIN."""
    session: float | None = None
    """Since the connection was accepted."""


class TimeoutMonitor:
    """Check the connections of one factory periodically, and end those that have timed out.

    A connection without pending output is closed. Otherwise it is reset, so that the client knows that output is
    missing. An idle connection is reset, too, if the client has not acknowledged all output: the kernel would keep that
    output for minutes after a close.

    A connection that the daemon has closed already is left to EchoProtocol.close.
    """

    def __init__(self, factory: EchoFactory, clock: IReactorTime, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self._factory = factory
        self._clock = clock
        self._sweeper = LoopingCall(self._sweep)
        self._cooperator = Cooperator(lambda: lambda: True, scheduler=lambda turn: clock.callLater(0, turn))

    def start(self) -> None:
        """Start the periodic check, if a timeout is set."""
        configured = [each for each in vars(self.timeouts).values() if each is not None]
        if not configured:
            return
        self._tick = min(max(min(configured) / _TICK_DIVISOR, _MIN_TICK), _MAX_TICK)
        self._last_seen = self._resumed_at = self._clock.seconds()
        # a new LoopingCall, because the last check of the old one may be unfinished
        self._sweeper = LoopingCall(self._sweep)
        self._sweeper.clock = self._clock
        # SchedulerStopped is raised if the monitor is stopped during a check
        self._sweeper.start(self._tick, now=False).addErrback(lambda failure: failure.trap(SchedulerStopped))

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Apply other timeouts from now on, to open connections as well."""
        self._stop_sweeper()
        self.timeouts = timeouts
        self.start()

    def stop(self) -> None:
        """Stop the periodic check for good."""
        self._stop_sweeper()
        self._cooperator.stop()

    def _stop_sweeper(self) -> None:
        if self._sweeper.running:
            self._sweeper.stop()

    def _sweep(self) -> object:
        return self._cooperator.coiterate(self._sweep_steps())

    def _update_now(self) -> float:
        now = self._clock.seconds()
        if now - self._last_seen > self._tick + _MAX_TICK:
            # the process was suspended or very busy: messages may be unread, so no connection counts as idle
            self._resumed_at = now
        self._last_seen = now
        return now

    def _sweep_steps(self) -> Iterator[None]:
        now = self._update_now()
        for number, connection in enumerate(list(self._factory.connections), 1):
            if connection in self._factory.connections:
                self._check(connection, now)
            if not number % _CHECKS_PER_STEP:
                yield
                now = self._update_now()

    def _check(self, connection: EchoProtocol, now: float) -> None:
        counters = self._factory.traffic.counters
        if self.timeouts.half_closed is not None:
            connection.poll_half_close()
        if self.timeouts.idle is not None:
            connection.poll_acked()
        if connection.closed_locally:
            return
        ended_at = connection.ended_at
        if _expired(self.timeouts.session, now - connection.connected_at):
            counters.session_timeouts += 1
            self._end(connection, "session timeout")
        elif ended_at is not None and _expired(self.timeouts.half_closed, now - ended_at):
            counters.half_closed_timeouts += 1
            self._end(connection, "half-closed timeout")
        elif not (connection.awaiting_reply and not connection.has_unacked_output) and _expired(
            self.timeouts.idle, now - max(connection.last_active, self._resumed_at)
        ):
            counters.idle_timeouts += 1
            self._end(connection, "idle timeout", reset=connection.has_unacked_output)

    def _end(self, connection: EchoProtocol, reason: str, *, reset: bool = False) -> None:
        if reset or connection.has_pending_output or connection.closing:
            connection.reset(f"reset at the {reason}")
        else:
            connection.close(reason)


def _expired(timeout: float | None, seconds: float) -> bool:
    return timeout is not None and seconds >= timeout
