"""The echo client: what it sends may come from anywhere, what comes back goes to whoever wants it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Protocol as TypingProtocol

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.clients.dial import Dialed
from echotime.clients.status import ClientFailed
from echotime.wire.exactness import Exactness

_BYTES_ACKED = struct.Struct("=120xQ")
"""struct tcp_info up to tcpi_bytes_acked."""


class Sink(TypingProtocol):
    """Where the bytes that come back go."""

    def write(self, data: bytes) -> object:
        """Take some."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoClient(Dialed):
    """One session. `ended` fires with None at the server's end of file, or fails with ClientFailed.

    `moved` is called whenever bytes go or come, for whoever watches the time.
    """

    def __init__(self, sink: Sink, exactness: Exactness | None = None, moved: Callable[[], object] = bool) -> None:
        self.ended: Deferred[None] = Deferred()
        self.sent_bytes = 0
        self.received_bytes = 0
        self.paused = False
        self._sink = sink
        self._exactness = exactness
        self._moved = moved
        self._failed: ClientFailed | None = None
        self._source: FileDescriptor | None = None

    def send(self, data: bytes) -> None:
        """Send some more."""
        self.sent_bytes += len(data)
        if self._exactness is not None:
            self._exactness.sent(data)
        self._moved()
        assert self.transport is not None
        self.transport.write(data)

    def feed(self, source: FileDescriptor) -> None:
        """Let a source send as it reads, and wait while the server does not take more."""
        self._source = source
        self.transport.registerProducer(source, True)  # type: ignore[union-attr]
        source.startReading()

    def acknowledged(self) -> int:
        """How many bytes the server's system has taken so far (tcpi_bytes_acked; Linux 4.2)."""
        raw = self.transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)  # type: ignore[union-attr]
        return int(_BYTES_ACKED.unpack(raw)[0])

    def half_close(self) -> None:
        """Nothing more will be sent: once all is on its way the server sees the end of file."""
        self._stop_source()
        self.transport.loseWriteConnection()  # type: ignore[union-attr]

    def give_up(self, failed: ClientFailed) -> None:
        """Reset the connection; `ended` fails with that."""
        self._failed = self._failed or failed
        self.transport.abortConnection()  # type: ignore[union-attr]

    def pauseProducing(self) -> None:
        """Whoever gets what comes back cannot take more: read no more."""
        self.paused = True
        self.transport.pauseProducing()  # type: ignore[union-attr]

    def resumeProducing(self) -> None:
        """It can again."""
        self.paused = False
        self.transport.resumeProducing()  # type: ignore[union-attr]

    def stopProducing(self) -> None:
        """It never will again."""

    def dataReceived(self, data: bytes) -> None:
        """Hand it on."""
        self.received_bytes += len(data)
        if self._exactness is not None:
            self._exactness.received(data)
        self._moved()
        self._sink.write(data)

    def readConnectionLost(self) -> None:
        """The server has sent all it had."""
        self._stop_source()
        assert self.transport is not None
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our half-close is done."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over."""
        self._stop_source()
        if self._failed is not None:
            self.ended.errback(self._failed)
        elif reason.check(ConnectionDone):
            self.ended.callback(None)
        else:
            self.ended.errback(ClientFailed.from_failure(reason))

    def _stop_source(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.stopReading()
            self.transport.unregisterProducer()  # type: ignore[union-attr]
