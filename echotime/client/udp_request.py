"""Send one UDP request from its own socket, so that every response is known to belong to it."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from typing import Protocol as TypingProtocol

from twisted.internet import udp
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.python.failure import Failure

from echotime.client.connect import select_for_client
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.sockopt.apply import OptionError, apply_or_close
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.error_queue import read_errors
from echotime.wire.hostport import HostPort

_MAX_DATAGRAM = 65535
_MAX_PER_CALL = 64
"""Maximum datagrams or errors read in one call."""


class UDPResponse(NamedTuple):
    """Hold a received datagram, its round trip in seconds, and the Unix time at which it was received."""

    datagram: bytes
    round_trip: float
    received_at: float


class ResponseHandler(TypingProtocol):
    """Handle the responses to a request, and its errors."""

    def response_received(self, request: UDPRequest, response: UDPResponse) -> object:
        """Handle a response from the requested address. There may be several."""

    def unexpected_sender(self, request: UDPRequest, address: str) -> object:
        """Handle a datagram from another address or port. Such a datagram is not a response."""

    def request_failed(self, request: UDPRequest, error_number: int) -> object:
        """Handle an ICMP error, given as errno: the request did not arrive."""


class UDPRequest(DatagramProtocol):
    """Send one request from its own socket, which stays open until `close` is called."""

    noisy = False

    def __init__(
        self, reactor: Any, address: ResolvedAddress, handler: ResponseHandler, sockopts: Sequence[Assignment] = ()
    ) -> None:
        self.address = address
        self._handler = handler
        self._closed = False
        self._port = _RequestPort(address, self, sockopts, reactor)

    def send(self, datagram: bytes = b"") -> None:
        """Open the socket and send a datagram. Raises ClientError."""
        try:
            self._port.startListening()
            self._sent_at = time.monotonic()
            self._port.socket.sendto(datagram, self.address.hostport.sockaddr())
        except OptionError as failed:
            raise ClientError(ExitStatus.FAILED, str(failed)) from failed
        except CannotListenError as error:
            raise ClientError.from_errno(error.socketError.errno or 0) from error
        except OSError as error:
            self.close()
            raise ClientError.from_errno(error.errno or 0) from error

    def close(self) -> None:
        """Close the socket, unless it is closed. Datagrams that were not read are discarded."""
        if not self._closed and self._port.connected:
            self._port.stopListening()
        self._closed = True

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        if self._closed:
            return
        sender = HostPort.from_sockaddr(addr)
        if sender == self.address.hostport:
            self._handler.response_received(self, UDPResponse(datagram, time.monotonic() - self._sent_at, time.time()))
        else:
            self._handler.unexpected_sender(self, str(sender))

    def network_error(self, error_number: int) -> None:
        """Report an error of the network."""
        if not self._closed:
            self._handler.request_failed(self, error_number)


class _RequestPort(udp.Port):
    """Report ICMP errors to the protocol, and continue after them."""

    def __init__(
        self, address: ResolvedAddress, request: UDPRequest, sockopts: Sequence[Assignment], reactor: Any
    ) -> None:
        ipv6 = address.family == socket.AF_INET6
        super().__init__(0, request, "::" if ipv6 else "0.0.0.0", _MAX_DATAGRAM, reactor)
        recverr = Assignment(BY_NAME["IPV6_RECVERR" if ipv6 else "IP_RECVERR"], 1)
        self._assignments = (recverr, *select_for_client("udp", address, sockopts))

    def createInternetSocket(self) -> socket.socket:
        """Return a socket with its options set. Raises OSError or OptionError."""
        return apply_or_close(super().createInternetSocket(), self._assignments)

    def doRead(self) -> None:
        """Read all pending datagrams and errors."""
        for _ in range(_MAX_PER_CALL):
            if not self.connected:
                return
            try:
                datagram, address = self.socket.recvfrom(self.maxPacketSize)
            except BlockingIOError:
                return
            except OSError as error:
                read_errors(self.socket, _MAX_PER_CALL)
                self.protocol.network_error(error.errno or errno.EIO)
            else:
                self.protocol.datagramReceived(datagram, address)

    def readConnectionLost(self, reason: Failure) -> None:
        """Report pending errors. The reactor calls this for an ICMP error, after which the socket stays usable."""
        for number in read_errors(self.socket, _MAX_PER_CALL):
            self.protocol.network_error(number)
        if self.connected:
            self.startReading()
