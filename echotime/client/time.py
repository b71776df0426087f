"""Request the time over UDP, repeatedly until there is a response, and decode its four bytes."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress, resolve
from echotime.client.udp_request import UDPRequest, UDPResponse
from echotime.sockopt.assignment import Assignment
from echotime.wire import timestamp
from echotime.wire.timestamp import Epoch


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
    """Request the time from one host, at most `tries` times.

    Each try waits `timeout` seconds, divided among all addresses of the host. `unexpected_count` counts the
    responses from other addresses. `first_unexpected` is the address of the first of these.
    """

    reactor: Any
    host: str
    port: int
    tries: int = 3
    timeout: float = 1.0
    sockopts: Sequence[Assignment] = ()
    unexpected_count: int = 0
    first_unexpected: str = ""

    async def query(self) -> tuple[ResolvedAddress, UDPResponse]:
        """Return the address that responded, and its response.

        Raises ClientError with REFUSED if all addresses refused, else with NO_ANSWER.
        """
        failures: list[ClientError] = []
        addresses = await resolve(self.host, self.port, socket.SOCK_DGRAM)
        for _ in range(self.tries):
            failures = []
            for address in addresses:
                try:
                    return address, await self._query_once(address, self.timeout / len(addresses))
                except ClientError as reason:
                    failures.append(reason)
            if all(each.status is not ExitStatus.NO_ANSWER for each in failures):
                break
        raise next((each for each in failures if each.status is ExitStatus.NO_ANSWER), failures[-1])

    async def _query_once(self, address: ResolvedAddress, seconds: float) -> UDPResponse:
        self._response: Deferred[UDPResponse] = Deferred()
        request = UDPRequest(self.reactor, address, self, self.sockopts)
        request.send()
        timeout = self.reactor.callLater(seconds, self._finish, ClientError(ExitStatus.NO_ANSWER))
        try:
            return await self._response
        finally:
            request.close()
            if timeout.active():
                timeout.cancel()

    def _finish(self, result: UDPResponse | ClientError) -> None:
        if not self._response.called:
            self._response.callback(result) if isinstance(result, UDPResponse) else self._response.errback(result)

    def response_received(self, request: UDPRequest, response: UDPResponse) -> None:
        """Use the first response only."""
        self._finish(response)

    def unexpected_sender(self, request: UDPRequest, address: str) -> None:
        """Count the response, so that the user can be informed."""
        self.unexpected_count += 1
        self.first_unexpected = self.first_unexpected or address

    def request_failed(self, request: UDPRequest, error_number: int) -> None:
        """End this try with the error."""
        self._finish(ClientError.from_errno(error_number))
