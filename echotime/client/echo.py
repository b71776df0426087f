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

from echotime.client.connect import ConnectedProtocol
from echotime.client.exit_status import ClientError
from echotime.wire.verify import EchoVerifier

_BYTES_ACKED = struct.Struct("=120xQ")
"""struct tcp_info up to tcpi_bytes_acked."""


class Sink(TypingProtocol):
    """Where the bytes that come back go."""

    def write(self, data: bytes) -> object:
        """Take some."""


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoClient(ConnectedProtocol):
    """One session. `ended` fires with None at the server's end of file, or fails with ClientError.

    `on_activity` is called whenever bytes go or come, for whoever watches the time.
    """

    def __init__(
        self, sink: Sink, verifier: EchoVerifier | None = None, on_activity: Callable[[], object] = bool
    ) -> None:
        self.ended: Deferred[None] = Deferred()
        self.sent_bytes = 0
        self.received_bytes = 0
        self.paused = False
        self._sink = sink
        self._verifier = verifier
        self._on_activity = on_activity
        self._error: ClientError | None = None
        self._source: FileDescriptor | None = None

    def send(self, data: bytes) -> None:
        """Send some more."""
        self.sent_bytes += len(data)
        if self._verifier is not None:
            self._verifier.feed_sent(data)
        self._on_activity()
        assert self.transport is not None
        self.transport.write(data)

    def send_from(self, source: FileDescriptor) -> None:
        """Let a source send as it reads, and wait while the server does not take more."""
        self._source = source
        self.transport.registerProducer(source, True)  # type: ignore[union-attr]
        source.startReading()

    def bytes_acked(self) -> int:
        """How many bytes the server's system has taken so far (tcpi_bytes_acked; Linux 4.2)."""
        raw = self.transport.getHandle().getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED.size)  # type: ignore[union-attr]
        return int(_BYTES_ACKED.unpack(raw)[0])

    def half_close(self) -> None:
        """Nothing more will be sent: once all is on its way the server sees the end of file."""
        self._stop_source()
        self.transport.loseWriteConnection()  # type: ignore[union-attr]

    def abort(self, error: ClientError) -> None:
        """Reset the connection; `ended` fails with that."""
        self._error = self._error or error
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
        if self._verifier is not None:
            self._verifier.feed_received(data)
        self._on_activity()
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
        if self._error is not None:
            self.ended.errback(self._error)
        elif reason.check(ConnectionDone):
            self.ended.callback(None)
        else:
            self.ended.errback(ClientError.from_failure(reason))

    def _stop_source(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.stopReading()
            self.transport.unregisterProducer()  # type: ignore[union-attr]
