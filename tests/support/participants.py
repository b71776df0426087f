"""Provide the participants of an EchoModel: operators, protocols that record messages, and clients."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echotime.services.echo_factory import EchoFactory
from echotime.services.large_reads import LARGE_READ_SIZE
from echotime.services.replies import IReplySource
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.traffic import TrafficLog
from echotime.wire.message import MESSAGE_SIZE
from echotime.wire.template import Text

PAYLOAD = random.Random(12345).randbytes(1 << 20)
"""Random bytes from which messages and replies are cut, so that no two positions look alike."""


class ReplyFailed(Exception):
    """Report that an operator cannot reply."""


@implementer(IReplySource)
class Operators:
    """Reply when the test decides; every third and every fifth reply is known at once.

    Every fifth reply comes as a Deferred that has already fired.
    """

    def __init__(self) -> None:
        self.questions = 0
        self.due: list[tuple[int, Deferred[Text]]] = []
        self.unanswered: set[int] = set()
        """Port numbers of the clients whose connection ended before the reply, or whose reply failed."""

    def reply_to(self, message: bytes, peer: IAddress) -> bytes | Deferred[Text]:
        self.questions += 1
        if (known := self.at_once(self.questions)) is not None:
            return succeed(known) if self.questions % 5 == 0 else known
        number: int = peer.port  # type: ignore[attr-defined]
        reply: Deferred[Text] = Deferred(lambda reply: self.unanswered.add(number))
        self.due.append((number, reply))
        return reply

    @staticmethod
    def at_once(number: int) -> bytes | None:
        """Return the number-th reply if it is known at once, else None."""
        return PAYLOAD[: number % 7] if number % 3 == 0 or number % 5 == 0 else None


class RecordingEchoProtocol(EchoProtocol):
    """Record every message, and every message that must not be delivered."""

    factory: RecordingEchoFactory

    def connectionMade(self) -> None:
        self.received: list[bytes] = []
        self.expected = bytearray()
        self.ends = 0
        self.factory.made[self.transport.getPeer().port] = self
        super().connectionMade()

    def dataReceived(self, message: bytes) -> None:
        reply_source = self.factory.reply_source
        most = MESSAGE_SIZE if isinstance(reply_source, Operators) else LARGE_READ_SIZE
        if self.paused or self.closing or self.ends or not 0 < len(message) <= most:
            self.factory.wrong.append(f"read at the wrong time, or too much: {len(message)}")
        self.factory.largest = max(self.factory.largest, len(message))
        # the messages that so many recv(4096) would have returned
        for at in range(0, len(message), MESSAGE_SIZE):
            self.received.append(message[at : at + MESSAGE_SIZE])
            self.expected += self.received[-1] + self.factory.trailer
        if isinstance(reply_source, Operators):
            self.expected += reply_source.at_once(reply_source.questions + 1) or b""
        super().dataReceived(message)
        counted = (self.messages, self.bytes_in, self.bytes_out)
        if counted != (len(self.received), sum(map(len, self.received)), len(self.expected)):
            self.factory.wrong.append(f"counted {counted}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends += 1
        super().connectionLost(reason)


class RecordingEchoFactory(EchoFactory):
    """Build protocols that record their messages."""

    def __init__(self, reply_source: IReplySource | None, clock: Any, trailer: bytes) -> None:
        super().__init__(TrafficLog(clock, 0), trailer, reply_source)
        self.made: dict[int, RecordingEchoProtocol] = {}
        self.wrong: list[str] = []
        self.largest = 0
        """Bytes of the largest read."""

    def buildProtocol(self, addr: IAddress | None) -> EchoProtocol:  # type: ignore[override]
        protocol = RecordingEchoProtocol(0)
        protocol.factory = self
        return protocol


class Client:
    """Act as the client end of a connection, and record what it sent and received."""

    def __init__(self, port: int, receive_buffer: int, start: int) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.number = self.sock.getsockname()[1]
        self.start, self.sent = start, 0
        self.got = bytearray()
        self.half = self.gone = self.ended = self.was_reset = False

    def send(self, size: int) -> None:
        """Send up to `size` bytes, as many as the kernel accepts."""
        begin = self.start + self.sent
        try:
            self.sent += self.sock.send(PAYLOAD[begin : begin + size])
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            # the kernel reports a reset once: reading on returns an end of file
            self.was_reset = True

    def read(self, size: int) -> int:
        """Read up to `size` bytes and return their number."""
        if self.gone or self.ended:
            return 0
        try:
            piece = self.sock.recv(size)
        except BlockingIOError:
            return 0
        except ConnectionResetError:
            self.ended = self.was_reset = True
            return 0
        self.ended = not piece
        self.got += piece
        return len(piece)

    def shut(self) -> None:
        """Half-close the connection, if still open."""
        if not self.half and not self.gone:
            self.half = True
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    def leave(self, how: Callable[[socket.socket], None]) -> None:
        """Close the socket with the given function."""
        self.gone = True
        how(self.sock)
