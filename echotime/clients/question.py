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

from echotime.clients.dial import for_client
from echotime.clients.lookup import Endpoint
from echotime.clients.status import ClientFailed, Status
from echotime.sockopt.apply import OptionFailed, apply_or_close
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue import BY_NAME
from echotime.sockopt.error_queue import take_errors

_LARGEST = 65535
_MOST = 64
"""Datagrams or errors taken in one call."""


class Answer(NamedTuple):
    """A datagram that came back: after how many seconds, and when (Unix time, seconds)."""

    datagram: bytes
    round_trip: float
    at: float


class Asker(TypingProtocol):
    """Who asked: told of every answer, and of what kept one away."""

    def answered(self, question: Question, answer: Answer) -> object:
        """The asked address has answered; perhaps not for the first time."""

    def stranger(self, question: Question, address: str) -> object:
        """An answer came from an address or port that was not asked. It is not used."""

    def failed(self, question: Question, number: int) -> object:
        """The network says that the question did not arrive (errno)."""


class Question(DatagramProtocol):
    """A socket of its own for one question; closing it is up to the asker."""

    noisy = False

    def __init__(self, reactor: Any, endpoint: Endpoint, asker: Asker, asked: Sequence[Assignment] = ()) -> None:
        self.endpoint = endpoint
        self._asker = asker
        self._closed = False
        self._port = _QuestionPort(endpoint, self, asked, reactor)

    def ask(self, datagram: bytes = b"") -> None:
        """Open the socket and send. Raises ClientFailed."""
        try:
            self._port.startListening()
            self._sent_at = time.monotonic()
            self._port.socket.sendto(datagram, (self.endpoint.host, self.endpoint.port))
        except OptionFailed as failed:
            raise ClientFailed(Status.FAILED, str(failed)) from failed
        except CannotListenError as error:
            raise ClientFailed.from_errno(error.socketError.errno or 0) from error
        except OSError as error:
            self.close()
            raise ClientFailed.from_errno(error.errno or 0) from error

    def close(self) -> None:
        """Close the socket; nothing that still lies in it is told."""
        self._closed = True
        if self._port.connected:
            self._port.stopListening()

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """An answer, or something that a stranger sent."""
        if self._closed:
            return
        if tuple(addr[:2]) == (self.endpoint.host, self.endpoint.port):
            self._asker.answered(self, Answer(datagram, time.monotonic() - self._sent_at, time.time()))
        else:
            self._asker.stranger(self, f"{addr[0]}:{addr[1]}")

    def failed(self, number: int) -> None:
        """An error of the network."""
        if not self._closed:
            self._asker.failed(self, number)


class _QuestionPort(udp.Port):
    """A UDP port that reports ICMP errors to its protocol instead of ending at them."""

    def __init__(self, endpoint: Endpoint, question: Question, asked: Sequence[Assignment], reactor: Any) -> None:
        ipv6 = endpoint.family == socket.AF_INET6
        super().__init__(0, question, "::" if ipv6 else "0.0.0.0", _LARGEST, reactor)
        recverr = Assignment(BY_NAME["IPV6_RECVERR" if ipv6 else "IP_RECVERR"], 1)
        self._assignments = (recverr, *for_client("udp", endpoint, asked))

    def createInternetSocket(self) -> socket.socket:
        """A socket with its options set. Raises OSError or OptionFailed."""
        return apply_or_close(super().createInternetSocket(), self._assignments)

    def doRead(self) -> None:
        """Take what there is, answers and errors."""
        for _ in range(_MOST):
            if not self.connected:
                return
            try:
                datagram, address = self.socket.recvfrom(self.maxPacketSize)
            except BlockingIOError:
                return
            except OSError as error:
                take_errors(self.socket, _MOST)
                self.protocol.failed(error.errno or errno.EIO)
            else:
                self.protocol.datagramReceived(datagram, address)

    def readConnectionLost(self, reason: Failure) -> None:
        """The reactor sees an error only: it is one of the network's, and the socket goes on."""
        for number in take_errors(self.socket, _MOST):
            self.protocol.failed(number)
        if self.connected:
            self.startReading()
