"""The log of connections and messages, as the seed's server shows them, and the counters of both services.

A connection is announced with its first message, so that a health check, which sends none, costs no line.
"""

from __future__ import annotations

from dataclasses import dataclass
from gettext import gettext as _
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import Interface

from echotime.servers.line_limit import LineLimit
from echotime.wire.printable import shown

SHOWN_BYTES = 200
"""The most bytes of a message that a log line shows."""
CONNECTION_LINES = 100
"""The most lines a second about connections that begin or end."""


@dataclass
class Counters:
    """What was served since the start. A connection counts when it is over; bytes out are handed to its transport."""

    connections: int = 0
    silent: int = 0
    """Connections that ended without a message: health checks, mostly. They cost no log line."""
    messages: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    datagrams: int = 0


class ITrafficWatcher(Interface):
    """Someone who is told what happens on TCP connections as it happens; peers are ``host:port``."""

    def began(peer: str) -> None:
        """The first message of a connection is here."""

    def message(peer: str, message: bytes) -> None:
        """A message is here."""

    def ended(peer: str, how: str, bytes_in: int, bytes_out: int) -> None:
        """A connection is over; `how` says who ended it."""


class Traffic:
    """Counts and shows what happens; `messages` is the most message lines a second, 0 for none.

    `watchers` (ITrafficWatcher) are told, too. While one of them shows what comes in where the log goes, `arrivals` is
    off, and the log does not.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, messages: int = 100) -> None:
        self.clock = clock
        self.counters = Counters()
        self.watchers: list[Any] = []
        self.arrivals = True
        self._show_messages = messages > 0
        self._message_lines = LineLimit(messages, clock, self._messages_left_out)
        self._connection_lines = LineLimit(CONNECTION_LINES, clock, self._connections_left_out)

    def began(self, peer: str) -> None:
        """The first message of a connection is here."""
        for watcher in self.watchers:
            watcher.began(peer)
        if self.arrivals and self._connection_lines.allows():
            # translated where an application has chosen a language, as an operator's terminal may; the daemon has none
            self._log.info(_("connection from {peer}"), peer=peer)

    def message(self, peer: str, message: bytes) -> None:
        """A message is here."""
        self.counters.messages += 1
        self.counters.bytes_in += len(message)
        for watcher in self.watchers:
            watcher.message(peer, message)
        if self.arrivals and self._show_messages and self._message_lines.allows():
            # not named `message`: Twisted's legacy observers overwrite that field
            self._log.info("{peer}: {text}", peer=peer, text=shown(message, SHOWN_BYTES))

    def ended(self, peer: str, how: str, bytes_in: int, bytes_out: int) -> None:
        """A connection is over; `how` says who ended it."""
        for watcher in self.watchers:
            watcher.ended(peer, how, bytes_in, bytes_out)
        self.counters.connections += 1
        if not bytes_in:
            self.counters.silent += 1
        elif self._connection_lines.allows():
            self._log.info(
                "connection from {peer} ended by {how}, {bytes_in} bytes in, {bytes_out} bytes out",
                peer=peer,
                how=how,
                bytes_in=bytes_in,
                bytes_out=bytes_out,
            )

    def flush(self) -> None:
        """Report what was left out of the log so far; for the end of the daemon."""
        self._message_lines.flush()
        self._connection_lines.flush()

    def _messages_left_out(self, number: int) -> None:
        self._log.info("message lines left out in the last second: {number}", number=number)

    def _connections_left_out(self, number: int) -> None:
        self._log.info("connection lines left out in the last second: {number}", number=number)
