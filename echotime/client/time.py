"""Request the time over UDP, repeatedly until there is a response, and decode its four bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from echotime.client.connect import ATTEMPT_DELAY
from echotime.client.deadline import Deadline
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.udp_request import UDPRequest, UDPResponse
from echotime.i18n.language import gettext as _
from echotime.sockopt.assignment import Assignment
from echotime.wire import timestamp
from echotime.wire.timestamp import Epoch

_MAX_PENDING = 64
"""Maximum requests whose sockets are open at the same time."""


class TimeReading(NamedTuple):
    """Compare the server's time with the local clock, both Unix time in seconds.

    The server truncates its time to whole seconds, and reads it at some moment of the round trip. So its true time
    was between `seconds` and `seconds` + 1, and the offset is known to within `uncertainty`.
    """

    seconds: int
    offset: float
    uncertainty: float
    wrapped: bool
    """True if the four bytes alone stand for an earlier time, as after 2106."""


def decode_response(response: UDPResponse, epoch: Epoch) -> TimeReading:
    """Return the time in a response. Raises ValueError if it is not four bytes long."""
    unadjusted = timestamp.unpack(response.datagram, epoch)
    midpoint = response.received_at - response.round_trip / 2
    seconds = timestamp.nearest_era(unadjusted, midpoint)
    offset = seconds + 0.5 - midpoint
    return TimeReading(seconds, offset, 0.5 + response.round_trip / 2, seconds != unadjusted)


@dataclass
class TimeClient:
    """Request the time from all addresses of a host, `tries` times, `interval` seconds apart.

    The first response counts. The sockets of earlier requests stay open, so that a late response counts, too.
    `unexpected_count` counts the responses from other addresses. `first_unexpected` is the first of these.
    """

    reactor: Any
    addresses: Sequence[ResolvedAddress]
    tries: int
    interval: float
    sockopts: Sequence[Assignment] = ()
    unexpected_count: int = 0
    first_unexpected: str = ""

    def __post_init__(self) -> None:
        self._schedule = self._make_schedule()
        self._sent = 0
        self._pending: list[UDPRequest] = []
        self._next_send: IDelayedCall | None = None
        self._response: Deferred[tuple[ResolvedAddress, UDPResponse]] = Deferred()

    async def query(self, deadline: Deadline) -> tuple[ResolvedAddress, UDPResponse]:
        """Return the address that responded, and its response. Call it once.

        Raises ClientError: with NO_ANSWER at the deadline, or with the last error if every address had one.
        """
        self._send_next()
        try:
            return await deadline.limit(self._response, ClientError(ExitStatus.NO_ANSWER, self._describe_timeout()))
        finally:
            self._cancel_next_send()
            for request in self._pending:
                request.close()

    def _describe_timeout(self) -> str:
        seconds = round(self.interval, 2)
        if self.tries == 1:
            return _("no answer within {seconds:g} s").format(seconds=seconds)
        return _("no answer to {tries} requests, {seconds:g} s each").format(tries=self.tries, seconds=seconds)

    def _make_schedule(self) -> Iterator[tuple[ResolvedAddress, float]]:
        """Yield the address of each request, and the seconds until the next request."""
        *others, last = self.addresses
        for _try in range(self.tries):
            for address in others:
                yield address, ATTEMPT_DELAY
            yield last, max(self.interval - len(others) * ATTEMPT_DELAY, ATTEMPT_DELAY if others else 0)

    def _send_next(self) -> None:
        address, delay = next(self._schedule, (None, 0.0))
        if address is None:
            return
        self._next_send = self.reactor.callLater(delay, self._send_next)
        request = UDPRequest(self.reactor, address, self, self.sockopts)
        self._sent += 1
        self._pending.append(request)
        if len(self._pending) > _MAX_PENDING:
            self._pending.pop(0).close()
        try:
            request.send()
        except ClientError as failed:
            self._request_failed(request, failed)

    def _cancel_next_send(self) -> None:
        if self._next_send is not None and self._next_send.active():
            self._next_send.cancel()

    def response_received(self, request: UDPRequest, response: UDPResponse) -> None:
        """Use the first response only."""
        if not self._response.called:
            self._response.callback((request.address, response))

    def unexpected_sender(self, request: UDPRequest, address: str) -> None:
        """Count the response, so that the user can be informed."""
        self.unexpected_count += 1
        self.first_unexpected = self.first_unexpected or address

    def request_failed(self, request: UDPRequest, error_number: int) -> None:
        """End the request with the error."""
        self._request_failed(request, ClientError.from_errno(error_number))

    def _request_failed(self, request: UDPRequest, error: ClientError) -> None:
        """Close the request. If no other is pending, send the next one now, or end if every address was tried."""
        self._pending.remove(request)
        request.close()
        if self._pending or self._response.called:
            return
        self._cancel_next_send()
        if self._sent < len(self.addresses):
            self._send_next()
        else:
            self._response.errback(error)
