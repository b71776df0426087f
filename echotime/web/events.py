"""The event stream of the page: server-sent events, fed by the subscriber that `echotime control watch` has, too.

GET watches. POST, which the guard allows to operators only, is present as an operator besides: clients then wait for a
reply, and the stream has the questions.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.web.http import SERVICE_UNAVAILABLE
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from echotime.control.commands import MAX_MESSAGE_BYTES, PushedEvent
from echotime.control.subscriber import EventSubscriber, unsent_bytes
from echotime.logger import Logger
from echotime.web.json_resource import HTTPError, read_object
from echotime.web.responses import json_response
from echotime.web.site import IDLE_TIMEOUT
from echotime.web.state import WebState
from echotime.web.status import read_status
from echotime.wire.escape import preview_decoded
from echotime.wire.json_line import format_json

MAX_STREAMS = 16
"""Event streams at a time."""
STATUS_INTERVAL = 1.0
"""Seconds between two events with the status, which are the heartbeat, too."""


def message_text(message: bytes, size: int, encoding: str) -> str:
    """Return the beginning of a peer's message of `size` bytes as one line of printable text."""
    return preview_decoded(message, MAX_MESSAGE_BYTES, encoding, size)


def encode_event(name: str, fields: dict[str, Any]) -> bytes:
    """Return an event in the format text/event-stream. JSON has no line ends of its own."""
    return f"event: {name}\ndata: {format_json(fields)}\n\n".encode()


@implementer(IPushProducer)
class EventStream:
    """Write events to one response, until its client closes the connection."""

    _log = Logger()

    def __init__(self, request: Request, state: WebState, *, as_operator: bool) -> None:
        self._request = request
        self._encoding = state.encoding
        self._clock = state.reactor
        self._paused_at: float | None = None
        request.setHeader(b"Content-Type", b"text/event-stream")
        self._subscriber = EventSubscriber(self, state.reactor)
        request.registerProducer(self, True)
        self._subscriber.start(state.traffic, state.queue, as_operator=as_operator)
        transport: Any = request.transport
        handle = transport.getHandle()
        if handle.family != socket.AF_UNIX:
            # a host that is gone reads nothing, and the kernel would wait for it much longer
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * IDLE_TIMEOUT))

    def write(self, event: bytes) -> None:
        """Write an event that was encoded already."""
        self._request.write(event)

    def write_status(self, event: bytes) -> None:
        """Write an event with the status, or leave it out while output is pending. Abort after IDLE_TIMEOUT of that."""
        if self._paused_at is None:
            self.write(event)
        elif self._clock.seconds() - self._paused_at >= IDLE_TIMEOUT:
            self.abort(TimeoutError("the client does not read"))

    def send_event(self, event: type[PushedEvent], **fields: Any) -> None:
        if "message" in fields:
            fields["message"] = message_text(fields["message"], fields["size"], self._encoding)
        self.write(encode_event(event.event, fields))

    def unsent_bytes(self) -> int:
        channel: Any = self._request.channel
        return unsent_bytes(channel and channel.transport)

    def abort(self, error: BaseException | None) -> None:
        self._log.info("http: event stream closed: {error}", error=str(error))
        channel: Any = self._request.channel
        channel.transport.abortConnection()

    def close(self) -> None:
        """Stop the events, because the connection has ended."""
        self._subscriber.stop()

    def pauseProducing(self) -> None:
        if self._paused_at is None:
            self._paused_at = self._clock.seconds()
        self._subscriber.pause()

    def resumeProducing(self) -> None:
        self._paused_at = None
        self._subscriber.resume()

    def stopProducing(self) -> None:
        """Do nothing: the end of the connection calls close."""


class EventsResource(Resource):
    """Answer with an event stream. While there is one, the status is sent to all of them once per interval."""

    isLeaf = True

    def __init__(self, state: WebState) -> None:
        super().__init__()
        self._state = state
        self._streams: set[EventStream] = set()
        self._ticker = LoopingCall(self._send_status)
        self._ticker.clock = state.reactor

    def render_GET(self, request: Request) -> int | bytes:
        """Open a stream without questions."""
        return self._open(request, as_operator=False)

    def render_POST(self, request: Request) -> int | bytes:
        """Open a stream whose client is present as an operator."""
        try:
            read_object(request)
        except HTTPError as error:
            return json_response(request, {"error": str(error)}, error.code)
        return self._open(request, as_operator=True)

    def _open(self, request: Request, *, as_operator: bool) -> int | bytes:
        if len(self._streams) >= MAX_STREAMS:
            request.setHeader(b"Retry-After", b"10")
            return json_response(request, {"error": f"{MAX_STREAMS} event streams are open"}, SERVICE_UNAVAILABLE)
        stream = EventStream(request, self._state, as_operator=as_operator)
        self._streams.add(stream)
        request.notifyFinish().addBoth(self._ended, stream)
        stream.write(self._status_event())
        if not self._ticker.running:
            self._ticker.start(STATUS_INTERVAL, now=False).addErrback(self._ticker_failed)
        return NOT_DONE_YET

    def _ended(self, result: object, stream: EventStream) -> None:
        self._streams.discard(stream)
        stream.close()
        if not self._streams and self._ticker.running:
            self._ticker.stop()

    def _send_status(self) -> None:
        event = self._status_event()
        for stream in list(self._streams):
            stream.write_status(event)

    def _status_event(self) -> bytes:
        return encode_event("status", read_status(self._state))

    def _ticker_failed(self, failure: Failure) -> None:
        Logger().failure("http: event streams failed", failure)
        for stream in list(self._streams):
            stream.abort(failure.value)
