"""Relay TCP with faults: stalls, resets, ends of file, ends of one direction, delays, small segments."""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.plain_clients import RESET
from tests.support.twistd_process import LIMIT

_MOST = 256
"""Connections at a time."""


class Then(enum.Enum):
    """Name the fault after a number of bytes of one direction."""

    STALL = "no more bytes are read, and both connections stay open"
    RESET = "both connections are reset"
    CLOSE = "both connections are closed"
    HALF_CLOSE = "this direction ends and its input is discarded; the other goes on"


@dataclass(frozen=True)
class Fault:
    """Describe one direction: `segment` bytes at a time, `delay` seconds late, and `then` after `after` bytes."""

    segment: int = 65_536
    delay: float = 0.0
    after: int | None = None
    then: Then = Then.STALL


NONE = Fault()


@dataclass
class _Direction:
    source: socket.socket
    to: socket.socket
    fault: Fault
    carried: int = 0
    piece: bytes = b""
    """Bytes that were read and not written yet."""
    due: float = 0.0
    ended: bool = False
    """True if nothing more is written and input is discarded."""
    source_ended: bool = False

    @property
    def faulty(self) -> bool:
        """Return True if the fault is due."""
        return self.fault.after is not None and self.carried >= self.fault.after and not self.piece

    @property
    def takes(self) -> bool:
        """Return True if the direction can read now."""
        stalls = self.faulty and self.fault.then is Then.STALL
        return not (self.piece or self.source_ended or stalls)

    def take(self, now: float) -> None:
        """Read a piece, or pass on an end of file."""
        left = self.fault.segment
        if self.fault.after is not None and not self.ended:
            left = min(left, self.fault.after - self.carried)
        piece = self.source.recv(left)
        if not piece:
            self.source_ended = True
            self.end()
        elif not self.ended:
            self.piece, self.due = piece, now + self.fault.delay

    def give(self) -> None:
        """Write as much of the piece as the socket accepts."""
        sent = self.to.send(self.piece)
        self.piece = self.piece[sent:]
        self.carried += sent

    def end(self) -> None:
        """Half-close the destination, if still open."""
        if not self.ended:
            self.ended = True
            self.to.shutdown(socket.SHUT_WR)


@dataclass
class _Path:
    """Hold the two directions of one relayed connection."""

    up: _Direction
    down: _Direction

    @property
    def directions(self) -> tuple[_Direction, _Direction]:
        return self.up, self.down

    def cut(self, *, reset: bool) -> None:
        """Close or reset both connections."""
        for each in self.directions:
            if reset:
                each.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            each.source.close()


@contextlib.contextmanager
def tcp_proxy(to: tuple[str, int], up: Fault = NONE, down: Fault = NONE) -> Iterator[TcpProxy]:
    """Run a proxy for a server; `up` is towards the server, `down` back to the client."""
    proxy = TcpProxy(to, up, down)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()


class TcpProxy:
    """Relay connections; `address` is the listening address, `faults` the number of faults so far."""

    def __init__(self, to: tuple[str, int], up: Fault, down: Fault) -> None:
        self._to, self._up, self._down = to, up, down
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_MOST)
        self.address: tuple[str, int] = self._listener.getsockname()
        self.faults = 0
        self._woken, self._waker = socket.socketpair()
        self._paths: list[_Path] = []

    def stop(self) -> None:
        """Wake `run`, which then returns."""
        self._waker.close()

    def run(self) -> None:
        """Relay until stop() is called, then close all connections."""
        with self._listener, self._woken:
            while self._turn():
                pass
        for path in self._paths:
            path.cut(reset=False)

    def _turn(self) -> bool:
        now = time.monotonic()
        ready = self._ready(now)
        if self._woken in ready:
            return False
        if self._listener in ready:
            self._accept()
        now = time.monotonic()
        for path in list(self._paths):
            try:
                goes_on = self._carry(path, ready, now)
            except OSError:
                # one side is gone: the other sees a reset, as it would without the proxy
                path.cut(reset=True)
                goes_on = False
            if not goes_on:
                self._paths.remove(path)
        return True

    def _ready(self, now: float) -> dict[socket.socket, int]:
        """Wait for ready sockets; return them with their poll events."""
        wanted = {self._listener: select.POLLIN, self._woken: select.POLLIN}
        dues = []
        for path in self._paths:
            for each in path.directions:
                if each.takes:
                    wanted[each.source] = wanted.get(each.source, 0) | select.POLLIN
                if each.piece and each.due <= now:
                    wanted[each.to] = wanted.get(each.to, 0) | select.POLLOUT
                elif each.piece:
                    dues.append(each.due - now)
        poll = select.poll()
        by_number = {sock.fileno(): sock for sock in wanted}
        for number, sock in by_number.items():
            poll.register(number, wanted[sock])
        found = poll.poll(min(dues) * 1000 + 1 if dues else None)
        return {by_number[number]: events for number, events in found}

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._to, LIMIT)
        except OSError:
            client.close()
            return
        for each in (client, server):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self._paths) >= _MOST:
            self._paths.pop(0).cut(reset=True)
        self._paths.append(_Path(_Direction(client, server, self._up), _Direction(server, client, self._down)))

    def _carry(self, path: _Path, ready: dict[socket.socket, int], now: float) -> bool:
        """Relay what is ready on a connection; return False if it ended."""
        for each in path.directions:
            if each.piece and each.due <= now and ready.get(each.to, 0) & ~select.POLLIN:
                each.give()
                if each.faulty and not self._fails(path, each):
                    return False
            elif ready.get(each.source, 0) & ~select.POLLOUT and each.takes:
                each.take(now)
        if path.up.source_ended and path.down.source_ended and not (path.up.piece or path.down.piece):
            path.cut(reset=False)
            return False
        return True

    def _fails(self, path: _Path, direction: _Direction) -> bool:
        """Apply the fault; return False if it ended the connection."""
        self.faults += 1
        if direction.fault.then is Then.HALF_CLOSE:
            direction.end()
        elif direction.fault.then is not Then.STALL:
            path.cut(reset=direction.fault.then is Then.RESET)
            return False
        return True
