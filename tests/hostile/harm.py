"""Provide hostile clients for the soak, which hold a bounded number of sockets and check no replies."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Callable

from tests.hostile.forging import forge, raw_socket
from tests.hostile.honest import Target
from tests.hostile.responder import echo, serving
from tests.support.plain_clients import RESET

_KEPT = 200
_KEPT_FULL = 10
_PATIENCE = 2.0


class Harm:
    """Act as one hostile client; `turn` is called repeatedly, `close` at the end. Callers ignore OSError."""

    def __init__(self, target: Target, source: str, chance: random.Random) -> None:
        self.target, self.source, self.chance = target, source, chance
        self.kept: deque[socket.socket] = deque()

    def turn(self) -> None:
        """Do the harm of this client once."""
        raise NotImplementedError

    def connect(self) -> socket.socket:
        """Connect from the client's own address."""
        return socket.create_connection(self.target.tcp, _PATIENCE, (self.source, 0))

    def keep(self, sock: socket.socket, most: int = _KEPT) -> None:
        """Keep a socket open; end the oldest beyond `most`."""
        self.kept.append(sock)
        while len(self.kept) > most:
            self.end(self.kept.popleft())

    def end(self, sock: socket.socket) -> None:
        """Close or reset a socket, at random."""
        if self.chance.random() < 0.5:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()

    def close(self) -> None:
        for sock in self.kept:
            self.end(sock)


class Silent(Harm):
    """Connect, send nothing, and stay connected."""

    def turn(self) -> None:
        self.keep(self.connect())


class SlowReader(Harm):
    """Send as much as the socket accepts, and read nothing or little."""

    def turn(self) -> None:
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
    """Reset connections at every point of an exchange."""

    def turn(self) -> None:
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
    """Half-close with or without a question, keep the connection, and never read."""

    def turn(self) -> None:
        sock = self.connect()
        self.keep(sock, _KEPT)
        if self.chance.random() < 0.5:
            # replies that never come, come late, or come after the client stopped reading
            sock.sendall(self.chance.choice([b"never", b"slow", b"now"]))
        sock.shutdown(socket.SHUT_WR)


class Garbage(Harm):
    """Send bytes that garble a log, and urgent bytes."""

    def turn(self) -> None:
        with self.connect() as sock:
            for _ in range(self.chance.randint(1, 5)):
                sock.send(self.chance.randbytes(self.chance.randint(1, 300)), self.chance.choice([0, socket.MSG_OOB]))


class Quick(Harm):
    """Connect and close at once."""

    def turn(self) -> None:
        for _ in range(20):
            self.connect().close()


class Flood(Harm):
    """Send datagrams at full speed for a moment."""

    def turn(self) -> None:
        payload = bytes(self.chance.choice([0, 0, 0, 1, 4, 60_000]))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((self.source, 0))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(2000 if len(payload) < 100 else 50):
                    sock.sendto(payload, self.target.udp)


class Forged(Harm):
    """Send from forged sources that cannot be answered, do not exist, or are the daemon's own; needs a raw socket."""

    def turn(self) -> None:
        answers = struct.pack("!I", int(time.time()))
        with raw_socket() as raw:
            for _ in range(50):
                host = f"127.{self.chance.randrange(256)}.{self.chance.randrange(256)}.{self.chance.randrange(1, 255)}"
                sources = (host, 0), (host, 53), (host, 4000), ("255.255.255.255", 4000), self.target.udp
                source = self.chance.choice(sources)
                forge(source, self.target.udp, self.chance.choice([b"", answers]), by=raw)


class Loops(Harm):
    """Make an echo service and the daemon answer each other; needs a raw socket."""

    def turn(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((self.source, 0))
            with serving(sock, echo):
                forge(sock.getsockname(), self.target.udp, b"hello")
                self.target.over.wait(0.1)


HARM: dict[str, Callable[[Target, str, random.Random], Harm]] = {
    each.__name__: each for each in (Silent, SlowReader, Resets, HalfOpen, Garbage, Quick, Flood, Forged, Loops)
}
