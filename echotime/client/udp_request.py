"""One question over UDP on a socket of its own, so that each answer is known to belong to it."""

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

_MAX_DATAGRAM = 65535
_MAX_PER_CALL = 64
"""Datagrams or errors taken in one call."""


class UDPResponse(NamedTuple):
    """A datagram that came back: after how many seconds, and when (Unix time, seconds)."""

    datagram: bytes
    round_trip: float
    received_at: float


class ResponseHandler(TypingProtocol):
    """Who asked: told of every answer, and of what kept one away."""

    def response_received(self, request: UDPRequest, response: UDPResponse) -> object:
        """The asked address has answered; perhaps not for the first time."""

    def unexpected_sender(self, request: UDPRequest, address: str) -> object:
        """An answer came from an address or port that was not asked. It is not used."""

    def request_failed(self, request: UDPRequest, error_number: int) -> object:
        """The network says that the question did not arrive (errno)."""


class UDPRequest(DatagramProtocol):
    """A socket of its own for one question; closing it is up to the asker."""

    noisy = False

    def __init__(
        self, reactor: Any, address: ResolvedAddress, handler: ResponseHandler, sockopts: Sequence[Assignment] = ()
    ) -> None:
        self.address = address
        self._handler = handler
        self._closed = False
        self._port = _RequestPort(address, self, sockopts, reactor)

    def send(self, datagram: bytes = b"") -> None:
        """Open the socket and send. Raises ClientError."""
        try:
            self._port.startListening()
            self._sent_at = time.monotonic()
            self._port.socket.sendto(datagram, (self.address.host, self.address.port))
        except OptionError as failed:
            raise ClientError(ExitStatus.FAILED, str(failed)) from failed
        except CannotListenError as error:
            raise ClientError.from_errno(error.socketError.errno or 0) from error
        except OSError as error:
            self.close()
            raise ClientError.from_errno(error.errno or 0) from error

    def close(self) -> None:
        """Close the socket; nothing that still lies in it is told."""
        self._closed = True
        if self._port.connected:
            self._port.stopListening()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """An answer, or something that a stranger sent."""
        if self._closed:
            return
        if tuple(addr[:2]) == (self.address.host, self.address.port):
            self._handler.response_received(self, UDPResponse(datagram, time.monotonic() - self._sent_at, time.time()))
        else:
            self._handler.unexpected_sender(self, f"{addr[0]}:{addr[1]}")

    def network_error(self, error_number: int) -> None:
        """An error of the network."""
        if not self._closed:
            self._handler.request_failed(self, error_number)


class _RequestPort(udp.Port):
    """A UDP port that reports ICMP errors to its protocol instead of ending at them."""

    def __init__(
        self, address: ResolvedAddress, request: UDPRequest, sockopts: Sequence[Assignment], reactor: Any
    ) -> None:
        ipv6 = address.family == socket.AF_INET6
        super().__init__(0, request, "::" if ipv6 else "0.0.0.0", _MAX_DATAGRAM, reactor)
        recverr = Assignment(BY_NAME["IPV6_RECVERR" if ipv6 else "IP_RECVERR"], 1)
        self._assignments = (recverr, *select_for_client("udp", address, sockopts))

    def createInternetSocket(self) -> socket.socket:
        """A socket with its options set. Raises OSError or OptionError."""
        return apply_or_close(super().createInternetSocket(), self._assignments)

    def doRead(self) -> None:
        """Take what there is, answers and errors."""
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
        """The reactor sees an error only: it is one of the network's, and the socket goes on."""
        for number in read_errors(self.socket, _MAX_PER_CALL):
            self.protocol.network_error(number)
        if self.connected:
            self.startReading()
