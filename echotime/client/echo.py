"""Send messages to an echo server over TCP, and pass what it returns to a sink."""

from __future__ import annotations

import time
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
from echotime.client.deadline import Deadline
from echotime.client.echo_failure import EchoFailure
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.sockopt import tcp_info
from echotime.wire.verify import EchoVerifier, VerifyResult


class Sink(TypingProtocol):
    """Receive the bytes that come from the server."""

    def write(self, data: bytes) -> object: ...


@implementer(IHalfCloseableProtocol, IPushProducer)
class EchoClient(ConnectedProtocol):
    """Run one session. `ended` fires with None at the server's end of file, or fails with ClientError.

    Cancelling `ended` resets the connection. With a verifier, so does the first wrong byte: `ended` fails with FAILED.
    `on_activity` is called whenever bytes are sent or received, so that an idle timer can be reset.
    """

    def __init__(
        self, sink: Sink, verifier: EchoVerifier | None = None, on_activity: Callable[[], object] = bool
    ) -> None:
        self.ended: Deferred[None] = Deferred(lambda ended: self.abort(ClientError(ExitStatus.FAILED)))
        self.sent_bytes = 0
        self.received_bytes = 0
        self.paused = False
        self._half_closed_at: float | None = None
        self._half_closed_seconds: float | None = None
        self._closes_when_complete = False
        self._sink = sink
        self._verifier = verifier
        self._on_activity = on_activity
        self._error: ClientError | None = None
        self._source: FileDescriptor | None = None

    def send(self, data: bytes) -> None:
        """Write data to the transport. It may be called many times."""
        self.sent_bytes += len(data)
        if self._verifier is not None:
            self._verifier.feed_sent(data)
        self._on_activity()
        assert self.transport is not None
        self.transport.write(data)

    def send_from(self, source: FileDescriptor) -> None:
        """Let a source send what it reads, and pause it while the transport buffer is full."""
        self._source = source
        self.transport.registerProducer(source, True)  # type: ignore[union-attr]
        source.startReading()

    def bytes_acked(self) -> int:
        """Return how many bytes the server's kernel has acknowledged (tcpi_bytes_acked)."""
        return tcp_info.bytes_acked(self.transport.getHandle())  # type: ignore[union-attr]

    def half_close(self) -> None:
        """Send a FIN after all data that was written."""
        self._stop_source()
        self.transport.loseWriteConnection()  # type: ignore[union-attr]

    def close_when_complete(self) -> None:
        """Close the connection once the answer is exact, in place of a half-close. It requires a verifier."""
        self._closes_when_complete = True

    async def completed(self, deadline: Deadline | None = None) -> None:
        """Wait for the end of the session. Raises EchoFailure if there was no answer, or the verifier rejects it."""
        too_late = ClientError(ExitStatus.TIMED_OUT)
        try:
            await (self.ended if deadline is None else deadline.limit(self.ended, too_late))
        except ClientError as error:
            raise self.failure(error) from None
        if self.sent_bytes and not self.received_bytes:
            raise self.failure(ClientError(ExitStatus.NO_ANSWER))
        if self._verifier is not None and not self._verifier.finish().exact:
            raise self.failure(ClientError(ExitStatus.FAILED))

    def failure(self, error: ClientError, result: VerifyResult | None = None) -> EchoFailure:
        """Return the failure of this session, for an error or for a server's end of file that came too early.

        The result is by default that of the verifier.
        """
        if result is None and self._verifier is not None:
            result = self._verifier.finish()
        return EchoFailure(error, self.sent_bytes, self.received_bytes, self._half_closed_seconds, result)

    def abort(self, error: ClientError) -> None:
        """Reset the connection. `ended` fails with the first error given."""
        self._error = self._error or error
        self.transport.abortConnection()  # type: ignore[union-attr]

    def pauseProducing(self) -> None:
        self.paused = True
        self.transport.pauseProducing()  # type: ignore[union-attr]

    def resumeProducing(self) -> None:
        self.paused = False
        self.transport.resumeProducing()  # type: ignore[union-attr]

    def stopProducing(self) -> None:
        """Do nothing: the session continues without the consumer."""

    def dataReceived(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._verifier is not None:
            self._verifier.feed_received(data)
        self._on_activity()
        self._sink.write(data)
        if self._verifier is not None and not self._verifier.can_still_match:
            self.abort(ClientError(ExitStatus.FAILED))
        elif self._verifier is not None and self._closes_when_complete and self._verifier.is_complete():
            self.transport.loseConnection()  # type: ignore[union-attr]

    def readConnectionLost(self) -> None:
        self._stop_source()
        assert self.transport is not None
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        self._half_closed_at = time.monotonic()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_source()
        if self._half_closed_at is not None:
            self._half_closed_seconds = time.monotonic() - self._half_closed_at
        if self.ended.called:  # it was cancelled
            return
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
