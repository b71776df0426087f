"""A TCP path with faults: stalls, cuts by reset or end of file, ends of one direction, delays, small segments."""

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
"""Connections."""


class Then(enum.Enum):
    """What happens after so many bytes of a direction."""

    STALL = "nothing more is taken, and both connections stay"
    RESET = "both connections are reset"
    CLOSE = "both connections are closed"
    HALF_CLOSE = "this direction ends, what still comes is thrown away, and the other goes on"


@dataclass(frozen=True)
class Fault:
    """Of one direction: pieces of `segment` bytes, each `delay` seconds later; and `then` after so many bytes."""

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
    """What was taken and not given yet."""
    due: float = 0.0
    ended: bool = False
    """Nothing more is given; what comes is thrown away."""
    source_ended: bool = False

    @property
    def faulty(self) -> bool:
        """Whether it is time for the fault."""
        return self.fault.after is not None and self.carried >= self.fault.after and not self.piece

    @property
    def takes(self) -> bool:
        """Whether it would read now."""
        stalls = self.faulty and self.fault.then is Then.STALL
        return not (self.piece or self.source_ended or stalls)

    def take(self, now: float) -> None:
        """Read a piece; the end is passed on."""
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
        """Write what goes."""
        sent = self.to.send(self.piece)
        self.piece = self.piece[sent:]
        self.carried += sent

    def end(self) -> None:
        """Write no more."""
        if not self.ended:
            self.ended = True
            self.to.shutdown(socket.SHUT_WR)


@dataclass
class _Path:
    """One connection through it."""

    up: _Direction
    down: _Direction

    @property
    def directions(self) -> tuple[_Direction, _Direction]:
        return self.up, self.down

    def cut(self, *, reset: bool) -> None:
        """Close both."""
        for each in self.directions:
            if reset:
                each.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            each.source.close()


@contextlib.contextmanager
def tcp_proxy(to: tuple[str, int], up: Fault = NONE, down: Fault = NONE) -> Iterator[TcpProxy]:
    """A path to a server; `up` is towards it, `down` back to the client."""
    proxy = TcpProxy(to, up, down)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()


class TcpProxy:
    """What tcp_proxy gives. `address` is where it listens, `faults` how often one of the faults came to pass."""

    def __init__(self, to: tuple[str, int], up: Fault, down: Fault) -> None:
        self._to, self._up, self._down = to, up, down
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_MOST)
        self.address: tuple[str, int] = self._listener.getsockname()
        self.faults = 0
        self._woken, self._waker = socket.socketpair()
        self._paths: list[_Path] = []

    def stop(self) -> None:
        """Let `run` end."""
        self._waker.close()

    def run(self) -> None:
        """Carry until it is stopped; then everything is closed."""
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
                # one of both is gone: the other is told as it would be without us
                path.cut(reset=True)
                goes_on = False
            if not goes_on:
                self._paths.remove(path)
        return True

    def _ready(self, now: float) -> dict[socket.socket, int]:
        """Wait for what can be done; the sockets, and what is possible with each."""
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
        """Do what can be done; whether the path goes on."""
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
        """Whether the path goes on all the same."""
        self.faults += 1
        if direction.fault.then is Then.HALF_CLOSE:
            direction.end()
        elif direction.fault.then is not Then.STALL:
            path.cut(reset=direction.fault.then is Then.RESET)
            return False
        return True
