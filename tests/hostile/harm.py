"""Hostile clients of a soak. They hold a bounded number of sockets, and expect nothing."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Callable

from tests.hostile.forging import forge, raw_socket
from tests.hostile.honest import Where
from tests.hostile.responder import echo, serving
from tests.support.plain_clients import RESET

_KEPT = 200
_KEPT_FULL = 10
_PATIENCE = 2.0


class Harm:
    """One hostile client; `turn` is called again and again, `close` at the end. What it meets as OSError is its own."""

    def __init__(self, where: Where, source: str, chance: random.Random) -> None:
        self.where, self.source, self.chance = where, source, chance
        self.kept: deque[socket.socket] = deque()

    def turn(self) -> None:
        """Do harm once."""
        raise NotImplementedError

    def connect(self) -> socket.socket:
        """A connection from its own address."""
        return socket.create_connection(self.where.tcp, _PATIENCE, (self.source, 0))

    def keep(self, sock: socket.socket, most: int = _KEPT) -> None:
        """Leave it open until there are too many."""
        self.kept.append(sock)
        while len(self.kept) > most:
            self.end(self.kept.popleft())

    def end(self, sock: socket.socket) -> None:
        """In one way or another."""
        if self.chance.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()

    def close(self) -> None:
        """Leave."""
        for sock in self.kept:
            self.end(sock)


class Silent(Harm):
    """Connects and says nothing."""

    def turn(self) -> None:
        """One more."""
        self.keep(self.connect())


class SlowReader(Harm):
    """Sends as much as goes, and reads nothing, or a little."""

    def turn(self) -> None:
        """One more."""
        sock = self.connect()
        self.keep(sock, _KEPT_FULL)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(1000):
                sock.send(bytes(65536))
        if self.chance.random() < 0.5:
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(BlockingIOError):
            sock.recv(self.chance.randint(1, 100_000))


class Resets(Harm):
    """Resets, at every point."""

    def turn(self) -> None:
        """One more."""
        with self.connect() as sock:
            after = self.chance.randrange(4)
            if after > 0:
                sock.sendall(bytes(self.chance.randint(1, 9000)))
            if after > 1:
                sock.recv(self.chance.randint(1, 9000))
            if after > 2:
                sock.shutdown(socket.SHUT_WR)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


class HalfOpen(Harm):
    """Ends its own side, and stays, whether it had a question or not; never reads."""

    def turn(self) -> None:
        """One more."""
        sock = self.connect()
        self.keep(sock, _KEPT)
        if self.chance.random() < 0.5:
            # a word that never comes, or one for whom nobody waits
            sock.sendall(self.chance.choice([b"never", b"slow", b"now"]))
        sock.shutdown(socket.SHUT_WR)


class Garbage(Harm):
    """Bytes for the log, urgent ones, and words that fail."""

    def turn(self) -> None:
        """One more."""
        with self.connect() as sock:
            for _ in range(self.chance.randint(1, 5)):
                sock.send(self.chance.randbytes(self.chance.randint(1, 300)), self.chance.choice([0, socket.MSG_OOB]))


class Quick(Harm):
    """Connects and is gone."""

    def turn(self) -> None:
        """Many."""
        for _ in range(20):
            self.connect().close()


class Flood(Harm):
    """Datagrams as fast as they go, for a moment."""

    def turn(self) -> None:
        """One burst, of one size."""
        payload = bytes(self.chance.choice([0, 0, 0, 1, 4, 60_000]))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((self.source, 0))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(2000 if len(payload) < 100 else 50):
                    sock.sendto(payload, self.where.udp)


class Forged(Harm):
    """Sources that cannot be answered, that do not exist, that are the daemon's own; takes a raw socket."""

    def turn(self) -> None:
        """Some of each."""
        answers = struct.pack("!I", int(time.time()))
        with raw_socket() as raw:
            for _ in range(50):
                nobody = (
                    f"127.{self.chance.randrange(256)}.{self.chance.randrange(256)}.{self.chance.randrange(1, 255)}"
                )
                sources = (nobody, 0), (nobody, 53), (nobody, 4000), ("255.255.255.255", 4000), self.where.udp
                source = self.chance.choice(sources)
                forge(source, self.where.udp, self.chance.choice([b"", answers]), by=raw)


class Loops(Harm):
    """Makes an echo service and the daemon talk to each other; takes a raw socket."""

    def turn(self) -> None:
        """One loop."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((self.source, 0))
            with serving(sock, echo):
                forge(sock.getsockname(), self.where.udp, b"hello")
                self.where.over.wait(0.1)


HARM: dict[str, Callable[[Where, str, random.Random], Harm]] = {
    each.__name__: each for each in (Silent, SlowReader, Resets, HalfOpen, Garbage, Quick, Flood, Forged, Loops)
}
