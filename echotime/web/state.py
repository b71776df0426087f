"""Hold what the resources of the HTTP server read and change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from echotime.control.backend import ControlBackend
from echotime.health.monitor import HealthMonitor
from echotime.health.readiness import Readiness
from echotime.net.listener import Listener, ListeningPort
from echotime.operators.reply_queue import ReplyQueue
from echotime.services.echo_factory import EchoFactory
from echotime.services.traffic import TrafficLog


class ClockReading(Protocol):
    """The synchronization status of the system clock."""

    @property
    def synchronized(self) -> bool | None:
        """Return None if the status is unknown."""

    @property
    def max_error(self) -> float:
        """Return the maximum error in seconds."""


@dataclass(frozen=True)
class WebState:
    """Hold the parts of the daemon that HTTP serves."""

    backend: ControlBackend
    factory: EchoFactory
    queue: ReplyQueue | None
    """The reply queue, None if replies come from a source of its own."""
    traffic: TrafficLog
    """Counters, and the observers of messages and connections."""
    readiness: Readiness
    health: HealthMonitor
    """The last known state of the listeners."""
    listeners: Iterable[Listener[ListeningPort]]
    """The TCP listeners, then the UDP listeners, without those of --behave."""
    errors: Callable[[str], Mapping[str, int]]
    """Returns the errors of all listeners of a transport since the start, by reason, also of those that were closed."""
    read_clock: Callable[[], ClockReading]
    reload_succeeded: Callable[[], bool]
    """Tell whether the last reload succeeded. True before the first one."""
    encoding: str
    """Encoding of operators' replies and of messages shown to operators."""
    reactor: Any
