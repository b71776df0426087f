"""TrafficLog: log connections and messages as the original scripts do, and count for both services.

A connection is logged at its first message, so that a TCP health check, which sends none, writes no line. With
`log_empty`, the end of such a connection is logged.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from gettext import gettext as _
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from echotime.counters import ConnectionStats, ServiceCounters
from echotime.limits.log_rate import LogRateLimiter
from echotime.logger import Logger
from echotime.services.datagram_log import DatagramLog, IDatagramObserver
from echotime.services.echo_transport import IEchoTransport
from echotime.wire.escape import preview

MAX_LOGGED_BYTES = 200
"""Maximum number of bytes of a message in a log line."""
MAX_OBSERVED_MESSAGES = 100
"""Maximum number of messages per second that observers get."""
MAX_CONNECTION_LINES = 100
"""Maximum number of log lines per second about connections that begin or end."""


class ITrafficObserver(IDatagramObserver):
    """Observe TCP connections, their messages and datagrams as they happen.

    `number` is the number of the connection, and peers are ``host:port``.
    """

    def connection_opened(number: int, peer: str, via: str) -> None:
        """Handle a new connection, when its first message has arrived. `via` is its proxy, if it has one."""

    def message_received(number: int, peer: str, message: bytes) -> None:
        """Handle a message, at most 4096 bytes."""

    def messages_left_out(number: int) -> None:
        """Handle the number of messages of the last second that observers did not get, because they were too many."""

    def connection_closed(number: int, peer: str, via: str, ended_by: str, bytes_in: int, bytes_out: int) -> None:
        """Handle the end of a connection. `ended_by` names the side or the timeout that ended it."""


class LoggedConnection(ConnectionStats, Protocol):
    """Give the traffic log and the record what they need of a connection."""

    number: int
    """Counted from 1; 0 for a connection of a proxy that ended before its PROXY header."""
    connected_at: float
    """Time of the reactor."""
    behavior: str
    """How a listener of --behave treats it, ``KIND[:PARAMETER=VALUE,...]``. Empty on other listeners."""
    transport: IEchoTransport

    @property
    def peer(self) -> str:
        """Return the client as ``host:port``. Formatting is left until a log line needs it."""

    @property
    def via(self) -> str:
        """Return the proxy that passed the connection on, as ``host:port``. Empty for a direct connection."""


class TrafficLog:
    """Log and count connections and messages, and pass them to observers (ITrafficObserver).

    `message_rate` is the maximum number of message lines per second, 0 for none. `log_arrivals` is False while an
    observer already shows new connections and messages on the terminal that shows the log.

    While `wants_messages` is False, a caller may skip message_received and add to `unlogged_messages`. That matters at
    hundreds of thousands of messages per second.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, message_rate: int = 0) -> None:
        self.clock = clock
        self.counters = ServiceCounters()
        self.log_arrivals = True
        self.log_empty = False
        """True if a connection without a message is logged, too, when it ends."""
        self.record_connection: Callable[[LoggedConnection, str], object] | None = None
        """Called with each connection that ended and what ended it, None without --record."""
        self.unlogged_messages = 0
        """The messages so far that were not passed to message_received."""
        self._unlogged_reported = self._unlogged_observed = 0
        self._observers: list[ITrafficObserver] = []
        self._observed_limiter = LogRateLimiter(MAX_OBSERVED_MESSAGES, clock, self._report_unobserved)
        self._message_limiter = LogRateLimiter(message_rate, clock, self._report_suppressed_messages)
        self.datagrams = DatagramLog(clock, self.counters, self._observers)
        self._connection_limiter = LogRateLimiter(MAX_CONNECTION_LINES, clock, self._report_suppressed_connections)
        self._update_wants_messages()

    def set_message_rate(self, message_rate: int) -> None:
        """Log at most `message_rate` messages per second from now on, none if it is 0."""
        self._message_limiter.set_max_lines(message_rate)
        self._update_wants_messages()

    def add_observer(self, observer: ITrafficObserver) -> None:
        """Call `observer` from now on."""
        if not self._observers:
            self._unlogged_observed = self.unlogged_messages
        self._observers.append(observer)
        self._update_wants_messages()

    def remove_observer(self, observer: ITrafficObserver) -> None:
        """Stop calling an observer that was added."""
        self._observers.remove(observer)
        self._update_wants_messages()

    def _update_wants_messages(self) -> None:
        observed = bool(self._observers) and not self._observed_limiter.suppressing
        self.wants_messages = observed or not self._message_limiter.suppressing

    def _connection_opened(self, connection: LoggedConnection) -> None:
        for observer in self._observers:
            observer.connection_opened(connection.number, connection.peer, connection.via)
        if self.log_arrivals and self._connection_limiter.allows():
            if connection.via:
                self._log.info("connection from {peer} via {via}", peer=connection.peer, via=connection.via)
            else:
                self._log.info(self._opened_format, peer=connection.peer)

    @cached_property
    def _opened_format(self) -> str:
        # translated only if an operator's terminal has chosen a language; each look-up takes several system calls
        return _("connection from {peer}")

    def message_received(self, connection: LoggedConnection, message: bytes) -> None:
        """Log a message, after its connection if `connection.messages` is 1."""
        if connection.messages == 1:
            self._connection_opened(connection)
        if not self.wants_messages:
            self.unlogged_messages += 1
            return
        if self._observers and self._observed_limiter.allows():
            for observer in self._observers:
                observer.message_received(connection.number, connection.peer, message)
        if self.log_arrivals and self._message_limiter.allows():
            # not named `message`: Twisted's legacy observers overwrite that field
            self._log.info("{peer}: {text}", peer=connection.peer, text=preview(message, MAX_LOGGED_BYTES))
        self._update_wants_messages()

    def connection_closed(self, connection: LoggedConnection, ended_by: str) -> None:
        """Log the end of a connection and count it. `ended_by` names the side or the timeout that ended it."""
        for observer in self._observers:
            observer.connection_closed(
                connection.number,
                connection.peer,
                connection.via,
                ended_by,
                connection.bytes_in,
                connection.bytes_out,
            )
        counters = self.counters
        counters.connections += 1
        if self.record_connection is not None:
            self.record_connection(connection, ended_by)
        if not connection.messages:
            counters.empty_connections += 1
            if not self.log_empty:
                return
        counters.add(connection)
        if self._connection_limiter.allows():
            self._log.info(
                "connection from {peer}"
                + (" via {via}" if connection.via else "")
                + " ended by {how}, {bytes_in} bytes in, {bytes_out} bytes out"
                + (", behavior: {behavior}" if connection.behavior else ""),
                peer=connection.peer,
                **({"via": connection.via} if connection.via else {}),
                how=ended_by,
                bytes_in=connection.bytes_in,
                bytes_out=connection.bytes_out,
                **({"behavior": connection.behavior} if connection.behavior else {}),
            )

    def flush(self) -> None:
        """Log how many lines were suppressed so far, at the end of the daemon."""
        self._message_limiter.flush()
        self.datagrams.flush()
        self._connection_limiter.flush()

    def _report_suppressed_messages(self, number: int) -> None:
        number += self.unlogged_messages - self._unlogged_reported
        self._unlogged_reported = self.unlogged_messages
        if number and self._message_limiter.max_lines:
            self._log.info("message lines left out in the last second: {number}", number=number)
        self._update_wants_messages()

    def _report_unobserved(self, number: int) -> None:
        number += self.unlogged_messages - self._unlogged_observed
        self._unlogged_observed = self.unlogged_messages
        if number:
            for observer in self._observers:
                observer.messages_left_out(number)
        self._update_wants_messages()

    def _report_suppressed_connections(self, number: int) -> None:
        if number:
            self._log.info("connection lines left out in the last second: {number}", number=number)


class SilentTraffic(TrafficLog):
    """Neither log nor count connections that are no clients', such as probes."""

    def message_received(self, connection: LoggedConnection, message: bytes) -> None:
        pass

    def connection_closed(self, connection: LoggedConnection, ended_by: str) -> None:
        pass
