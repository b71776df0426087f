"""Relay UDP with faults: datagrams lost, doubled, out of order, late; the same `seed` repeats them."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.hostile.forging import Address

_MOST = 100
"""Clients at a time; the oldest is dropped first."""
_MOST_WAITING = 10_000
"""Largest number of datagrams in flight."""
_HELD = 0.05
"""Seconds after which a datagram to be overtaken is sent anyway."""


@dataclass(frozen=True)
class Faults:
    """Give the probability of each fault in a direction, and the delay of all datagrams in seconds."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    seed: int = 0


def on_loopback() -> socket.socket:
    """Open a socket for a proxy on loopback."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


@contextlib.contextmanager
def udp_proxy(
    to: Address, faults: Faults, make_socket: Callable[[], socket.socket] = on_loopback
) -> Iterator[UdpProxy]:
    """Run a proxy for a server; `make_socket` opens a bound socket where the proxy should be."""
    proxy = UdpProxy(to, faults, make_socket)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join()


class UdpProxy:
    """Relay datagrams; `address` is the proxy's own, and `lost`, `doubled`, `overtaken` count the faults."""

    def __init__(self, to: Address, faults: Faults, make_socket: Callable[[], socket.socket]) -> None:
        self._to = to
        self._faults = faults
        self._make_socket = make_socket
        self._chance = random.Random(faults.seed)
        self._front = make_socket()
        self.address: Address = self._front.getsockname()
        self.lost = self.doubled = self.overtaken = 0
        self._sockets: dict[Address, socket.socket] = {}
        self._clients: dict[int, Address] = {}
        self._waiting: list[tuple[float, int, socket.socket, bytes, Address]] = []
        self._number = itertools.count()
        self._woken, self._waker = socket.socketpair()
        self._poll = select.poll()
        self._poll.register(self._front, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def stop(self) -> None:
        """Wake `run`, which then returns."""
        self._waker.close()

    def run(self) -> None:
        """Relay until stop() is called, then close all sockets."""
        with self._front, self._woken:
            while self._turn():
                pass
        for each in self._sockets.values():
            each.close()

    def _turn(self) -> bool:
        wait = max(0.0, self._waiting[0][0] - time.monotonic()) * 1000 if self._waiting else None
        for number, _ in self._poll.poll(wait):
            if number == self._woken.fileno():
                return False
            with contextlib.suppress(OSError):
                self._take(number)
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, _, by, datagram, to = heapq.heappop(self._waiting)
            with contextlib.suppress(OSError):
                by.sendto(datagram, to)
        return True

    def _take(self, number: int) -> None:
        if number == self._front.fileno():
            datagram, client = self._front.recvfrom(70_000)
            self._send(self._of(client), datagram, self._to)
        else:
            client = self._clients[number]
            self._send(self._front, self._sockets[client].recv(70_000), client)

    def _of(self, client: Address) -> socket.socket:
        """Return the socket that stands for a client towards the server."""
        if client not in self._sockets:
            if len(self._sockets) >= _MOST:
                self._forget(next(iter(self._sockets)))
            sock = self._sockets[client] = self._make_socket()
            self._clients[sock.fileno()] = client
            self._poll.register(sock, select.POLLIN)
        return self._sockets[client]

    def _forget(self, client: Address) -> None:
        sock = self._sockets.pop(client)
        self._poll.unregister(sock)
        del self._clients[sock.fileno()]
        sock.close()

    def _send(self, by: socket.socket, datagram: bytes, to: Address) -> None:
        faults = self._faults
        if self._chance.random() < faults.drop or len(self._waiting) >= _MOST_WAITING:
            self.lost += 1
            return
        due = time.monotonic() + faults.delay
        if self._chance.random() < faults.reorder:
            self.overtaken += 1
            due += _HELD
        heapq.heappush(self._waiting, (due, next(self._number), by, datagram, to))
        if self._chance.random() < faults.duplicate:
            self.doubled += 1
            heapq.heappush(self._waiting, (due, next(self._number), by, datagram, to))
