"""Speak HTTP/1.1 by twisted.web, with bounds on the size, the time and the number of requests and connections."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

import twisted.logger
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.resource import IResource
from zope.interface import implementer

from echotime.limits.capacity import MAX_HTTP_CONNECTIONS
from echotime.limits.log_rate import LogRateLimiter
from echotime.logger import Logger
from echotime.web.guard import HEADERS
from echotime.web.responses import json_body, refusal

MAX_BODY = 2**17
"""Bytes of a request's body, at most: twice the longest reply, because JSON escapes some characters."""
MAX_HEADER_BYTES, MAX_HEADERS = 2**14, 100
"""Bytes of the request line and all headers together, and headers, at most."""
REQUEST_TIMEOUT = 10.0
"""Seconds from the first byte of a request to its last one."""
IDLE_TIMEOUT = 120.0
"""Seconds that a connection may wait for its next request, and that a client may take to read a response. The output of
an event stream may be pending for as long."""
_ABORT_TIMEOUT = 5
"""Seconds from the end of a connection whose client does not read to its reset."""
_MAX_LOG_LINES = 5
"""Log lines per second about requests that failed because of a fault in the daemon."""
_MAX_LENGTH_DIGITS = 18
"""Digits of Content-Length, at most. int() refuses more than 4300."""


class _NoLog:
    """Stand in for the logger of twisted.web, which writes lines that clients can cause."""

    def info(self, *args: object, **kwargs: object) -> None:
        """Discard a line about one request."""


class HTTPRequest(server.Request):
    """A request with a bounded body, and with the headers of HEADERS in its response."""

    channel: HTTPConnection
    _log = cast("twisted.logger.Logger", _NoLog())

    def gotLength(self, length: int | None) -> None:
        """Refuse a body without a length, or a long one, before it is received."""
        self.content = BytesIO()
        if length is None:
            self.channel.refuse(http.LENGTH_REQUIRED, "expected Content-Length")
        elif length > MAX_BODY:
            self.channel.refuse(http.REQUEST_ENTITY_TOO_LARGE, f"a body must not exceed {MAX_BODY} bytes")

    def process(self) -> None:
        """Answer the request, with the same headers in every response."""
        for name, value in HEADERS.items():
            self.setHeader(name, value)
        super().process()

    def processingFailed(self, reason: Failure) -> Failure:
        """Log the failure, and answer with status 500 if no answer has begun."""
        self.channel.site.log_failure(reason)
        if self.startedWriting:
            self.channel.loseConnection()
        else:
            body = refusal(self, http.INTERNAL_SERVER_ERROR, "internal error; see the log")
            self.setHeader(b"Content-Length", b"%d" % len(body))
            self.write(body)
            self.finish()
        return reason


@implementer(IHalfCloseableProtocol)
class HTTPConnection(http.HTTPChannel):
    """A connection on which each request must arrive within REQUEST_TIMEOUT."""

    site: HTTPSite
    totalHeadersSize = MAX_HEADER_BYTES
    maxHeaders = MAX_HEADERS
    abortTimeout = _ABORT_TIMEOUT
    transport: Any
    _log = cast("twisted.logger.Logger", _NoLog())
    _refused = False
    _receiving = False
    """True from the first byte of a request to its last one."""
    waiting_since: float | None = None
    """The reactor's time since when the connection waits for the end of a request. None while one is answered."""

    def connectionMade(self) -> None:
        self.site.connections.add(self)
        self.waiting_since = self.site.reactor.seconds()
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.connections.discard(self)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Parse requests. HTTPChannel would allow IDLE_TIMEOUT after each byte of a request."""
        if not self._receiving and self.waiting_since is not None:
            self._receiving = True
            self.setTimeout(REQUEST_TIMEOUT)
        LineReceiver.dataReceived(self, data)

    def headerReceived(self, line: bytes) -> bool:
        """Refuse a length that int() may not convert."""
        name, _colon, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and len(value.strip()) > _MAX_LENGTH_DIGITS:
            self.refuse(http.BAD_REQUEST, "the Content-Length is too long")
            return False
        return bool(super().headerReceived(line))

    def allContentReceived(self) -> None:
        """Answer a request. If another one follows at once, close the connection after the answer.

        No browser and no scraper sends requests without waiting for the responses. Each would buffer a response.
        """
        if self._refused:
            return
        self._receiving, self.waiting_since = False, None
        if self._buffer or any(self._dataBuffer):
            self.persistent = 0
            self.requests[-1].setHeader(b"Connection", b"close")
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Wait for the next request."""
        self.waiting_since = self.site.reactor.seconds()
        super().requestDone(request)
        if not self._receiving:
            self.setTimeout(IDLE_TIMEOUT)

    def refuse(self, status: int, reason: str) -> None:
        """Answer a request that is not read to its end, and close the connection."""
        self._refused = True
        body = json_body({"error": reason})
        headers = HEADERS | {
            b"Content-Type": b"application/json",
            b"Content-Length": b"%d" % len(body),
            b"Connection": b"close",
        }
        status_line = b"HTTP/1.1 %d %s" % (status, http.RESPONSES[status])
        lines = [status_line, *(b"%s: %s" % each for each in headers.items()), b"", body]
        self.transport.write(b"\r\n".join(lines))
        self.loseConnection()

    def _send100Continue(self) -> None:
        if not self._refused:
            super()._send100Continue()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(http.BAD_REQUEST, "malformed request")

    def readConnectionLost(self) -> None:
        """Close the connection of a client that has half-closed, after the response to its last request.

        Only an event stream is still being answered. Its client is gone, as a browser does not half-close.
        """
        if self.waiting_since is None:
            self.transport.connectionLost(connectionDone)
        else:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing: this side is never half-closed."""

    def evict(self) -> None:
        """Close the connection at once, because its descriptor is needed in this iteration of the reactor."""
        self.transport.connectionLost(Failure(ConnectionAborted()))


class HTTPSite(server.Site):
    """Serve a resource to the connections of one listener. There is no access log and no session."""

    protocol = HTTPConnection  # type: ignore[assignment]  # without Twisted's wrapper, which may speak HTTP/2
    requestFactory = HTTPRequest
    noisy = False
    _logger = Logger()

    def __init__(self, resource: IResource, reactor: IReactorTime) -> None:
        super().__init__(resource, timeout=REQUEST_TIMEOUT, reactor=reactor)
        # twisted.web would parse forms, which are never served, and refuse faulty ones by itself
        self._parsePOSTFormSubmission = False
        self.connections: set[HTTPConnection] = set()
        self._log_limiter = LogRateLimiter(_MAX_LOG_LINES, reactor, self._report_suppressed)

    def startFactory(self) -> None:
        """Do nothing. http.HTTPFactory would open an access log and update its time every second."""

    def stopFactory(self) -> None:
        """Close the connections when the listener is closed."""
        for each in list(self.connections):
            each.loseConnection()

    def buildProtocol(self, addr: Any) -> Any:
        """Return a connection, or None if all others are being answered."""
        if len(self.connections) >= MAX_HTTP_CONNECTIONS:
            waiting = [each for each in self.connections if each.waiting_since is not None]
            if not waiting:
                return None
            min(waiting, key=lambda each: each.waiting_since or 0).evict()
        return super().buildProtocol(addr)

    def log(self, request: Any) -> None:
        """Write no line about a request to an access log."""

    def log_failure(self, reason: Failure) -> None:
        """Log a fault of the daemon, at a limited rate."""
        if self._log_limiter.allows():
            self._logger.failure("HTTP request failed", reason)

    def _report_suppressed(self, count: int) -> None:
        if count:
            self._logger.info("HTTP: failures left out in the last second: {count}", count=count)
