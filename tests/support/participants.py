"""Who takes part in a World: operators whose words are known, protocols that note what they are given, clients."""

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

from echotime.services.large_reads import LARGE_READ_SIZE
from echotime.services.replies import IReplySource
from echotime.services.tcp_echo import EchoFactory, EchoProtocol
from echotime.services.traffic import TrafficLog
from echotime.wire.message import MESSAGE_SIZE

PAYLOAD = random.Random(12345).randbytes(1 << 20)
"""What clients send and operators say is cut from here, so that no two places look alike."""


class NoWord(Exception):
    """An operator's desk burnt down."""


@implementer(IReplySource)
class Operators:
    """Words that come when the test says so; every third is known at once, every fifth before it is awaited."""

    def __init__(self) -> None:
        self.asked = 0
        self.due: list[tuple[int, Deferred[bytes]]] = []
        self.never: set[int] = set()
        """Whose connection was over before the word came, or whose word failed."""

    def reply_to(self, message: bytes, peer: IAddress) -> bytes | Deferred[bytes]:
        """Now, or later."""
        self.asked += 1
        if (known := self.at_once(self.asked)) is not None:
            return succeed(known) if self.asked % 5 == 0 else known
        number: int = peer.port  # type: ignore[attr-defined]
        word: Deferred[bytes] = Deferred(lambda word: self.never.add(number))
        self.due.append((number, word))
        return word

    @staticmethod
    def at_once(number: int) -> bytes | None:
        """The number-th word, where it is known."""
        return PAYLOAD[: number % 7] if number % 3 == 0 or number % 5 == 0 else None


class Noted(EchoProtocol):
    """Notes what it is given, and what it may not be given."""

    factory: Notes

    def connectionMade(self) -> None:
        """It begins."""
        self.came: list[bytes] = []
        self.said = bytearray()
        self.ends = 0
        self.factory.made[self.transport.getPeer().port] = self
        super().connectionMade()

    def dataReceived(self, message: bytes) -> None:
        """A message."""
        operators = self.factory.reply_source
        most = MESSAGE_SIZE if isinstance(operators, Operators) else LARGE_READ_SIZE
        if self.has_pending_output or self.closing or self.ends or not 0 < len(message) <= most:
            self.factory.wrong.append(f"read at the wrong time, or too much: {len(message)}")
        self.factory.largest = max(self.factory.largest, len(message))
        # the messages that so many recv(4096) would have returned
        for at in range(0, len(message), MESSAGE_SIZE):
            self.came.append(message[at : at + MESSAGE_SIZE])
            self.said += self.came[-1] + self.factory.trailer
        if isinstance(operators, Operators):
            self.said += operators.at_once(operators.asked + 1) or b""
        super().dataReceived(message)
        counted = (self.messages, self.bytes_in, self.bytes_out)
        if counted != (len(self.came), sum(map(len, self.came)), len(self.said)):
            self.factory.wrong.append(f"counted {counted}")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end."""
        self.ends += 1
        super().connectionLost(reason)


class Notes(EchoFactory):
    """Makes Noted."""

    def __init__(self, reply_source: IReplySource | None, clock: Any, trailer: bytes) -> None:
        super().__init__(TrafficLog(clock, 0), trailer, reply_source)
        self.made: dict[int, Noted] = {}
        self.wrong: list[str] = []
        self.largest = 0
        """Bytes of the largest read."""

    def buildProtocol(self, addr: IAddress | None) -> EchoProtocol:  # type: ignore[override]
        """One that notes."""
        protocol = Noted(0)
        protocol.factory = self
        return protocol


class Client:
    """One end of a connection, and what it did."""

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
        """As much of it as the kernel takes."""
        begin = self.start + self.sent
        try:
            self.sent += self.sock.send(PAYLOAD[begin : begin + size])
        except BlockingIOError:
            pass
        except (ConnectionResetError, BrokenPipeError):
            # a reset is told once: what is left to read ends like a file
            self.was_reset = True

    def read(self, size: int) -> int:
        """What is there of so much; how much that was."""
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
        """Send no more."""
        if not self.half and not self.gone:
            self.half = True
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_WR)

    def leave(self, how: Callable[[socket.socket], None]) -> None:
        """Close, in one way or another."""
        self.gone = True
        how(self.sock)
