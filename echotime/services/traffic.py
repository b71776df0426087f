"""The log of connections and messages, as the seed's server shows them, and the counters of both services.

A connection is announced with its first message, so that a health check, which sends none, costs no line.
"""

from __future__ import annotations

from gettext import gettext as _
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface

from echotime.counters import ConnectionStats, ServiceCounters
from echotime.limits.log_rate import LogRateLimiter
from echotime.logger import Logger
from echotime.wire.escape import preview

MAX_LOGGED_BYTES = 200
"""The most bytes of a message that a log line shows."""
MAX_CONNECTION_LINES = 100
"""The most lines a second about connections that begin or end."""


class ITrafficObserver(Interface):
    """Someone who is told what happens on TCP connections as it happens; peers are ``host:port``."""

    def connection_opened(peer: str) -> None:
        """The first message of a connection is here."""

    def message_received(peer: str, message: bytes) -> None:
        """A message is here."""

    def connection_closed(peer: str, ended_by: str, bytes_in: int, bytes_out: int) -> None:
        """A connection is over; `how` says who ended it."""


class LoggedConnection(ConnectionStats, Protocol):
    """A connection as the traffic log needs it."""

    @property
    def peer(self) -> str:
        """Return the client as ``host:port``. It is formatted when it is read, which is seldom."""


class TrafficLog:
    """Counts and shows what happens; `message_rate` is the most message lines a second, 0 for none.

    Watchers (ITrafficObserver) are told, too. While one of them shows what comes in where the log goes, `log_arrivals`
    is off, and the log does not.

    While `wants_messages` is off, messages need not be told but only counted, in `unlogged_messages`: whoever serves
    hundreds of thousands a second looks there first.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, message_rate: int = 100) -> None:
        self.clock = clock
        self.counters = ServiceCounters()
        self.log_arrivals = True
        self.unlogged_messages = 0
        self._observers: list[Any] = []
        self._message_limiter: LogRateLimiter | None = None
        self.set_message_rate(message_rate)
        self._connection_limiter = LogRateLimiter(MAX_CONNECTION_LINES, clock, self._report_suppressed_connections)
        self._update_wants_messages()

    def set_message_rate(self, message_rate: int) -> None:
        """Show at most so many messages a second from now on."""
        if self._message_limiter is not None:
            self._message_limiter.flush()
        self._message_limiter = (
            LogRateLimiter(message_rate, self.clock, self._report_suppressed_messages) if message_rate else None
        )
        self._update_wants_messages()

    def add_observer(self, observer: Any) -> None:
        """Tell one more (ITrafficObserver)."""
        self._observers.append(observer)
        self._update_wants_messages()

    def remove_observer(self, observer: Any) -> None:
        """Tell one less."""
        self._observers.remove(observer)
        self._update_wants_messages()

    def _update_wants_messages(self) -> None:
        limiter = self._message_limiter
        self.wants_messages = bool(self._observers) or not (limiter is None or limiter.suppressing)

    def connection_opened(self, connection: LoggedConnection) -> None:
        """The first message of a connection is here."""
        for observer in self._observers:
            observer.connection_opened(connection.peer)
        if self.log_arrivals and self._connection_limiter.allows():
            # translated where an application has chosen a language, as an operator's terminal may; the daemon has none
            self._log.info(_("connection from {peer}"), peer=connection.peer)

    def message_received(self, connection: LoggedConnection, message: bytes) -> None:
        """A message is here."""
        for observer in self._observers:
            observer.message_received(connection.peer, message)
        if self.log_arrivals and self._message_limiter is not None:
            if self._message_limiter.allows():
                # not named `message`: Twisted's legacy observers overwrite that field
                self._log.info("{peer}: {text}", peer=connection.peer, text=preview(message, MAX_LOGGED_BYTES))
            self._update_wants_messages()

    def connection_closed(self, connection: LoggedConnection, ended_by: str) -> None:
        """A connection is over; `how` says who ended it."""
        for observer in self._observers:
            observer.connection_closed(connection.peer, ended_by, connection.bytes_in, connection.bytes_out)
        counters = self.counters
        counters.connections += 1
        if not connection.messages:
            counters.empty_connections += 1
            return
        counters.add(connection)
        if self._connection_limiter.allows():
            self._log.info(
                "connection from {peer} ended by {how}, {bytes_in} bytes in, {bytes_out} bytes out",
                peer=connection.peer,
                how=ended_by,
                bytes_in=connection.bytes_in,
                bytes_out=connection.bytes_out,
            )

    def flush(self) -> None:
        """Report what was left out of the log so far; for the end of the daemon."""
        if self._message_limiter is not None:
            self._message_limiter.flush()
        self._connection_limiter.flush()

    def _report_suppressed_messages(self, number: int) -> None:
        number, self.unlogged_messages = number + self.unlogged_messages, 0
        if number:
            self._log.info("message lines left out in the last second: {number}", number=number)
        self._update_wants_messages()

    def _report_suppressed_connections(self, number: int) -> None:
        if number:
            self._log.info("connection lines left out in the last second: {number}", number=number)
