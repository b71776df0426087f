"""Test the C echo peer against exact bytes: as the upper bound for the daemon it must be correct."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import socket
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate

import pytest

from benchmarks.build import build_c
from benchmarks.servers import ACKNOWLEDGEMENT, SERVERS, Running, running

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing")

TRAILER = ACKNOWLEDGEMENT.encode()
MESSAGE = 4096
PAYLOAD = bytes(128 + i * 7 % 113 for i in range(1 << 20))
"""Bytes of 128 and above, none of which can be part of an acknowledgement."""


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Build and start the peer."""
    folder = tmp_path_factory.mktemp("peer")
    build_c(folder)
    (server,) = (each for each in SERVERS if each.name == "c")
    with running(server, "tcp", folder, folder / "log") as up:
        yield up


def connected(peer: Running) -> socket.socket:
    """Return a connection that the peer has accepted, since it echoed a message on it."""
    sock = socket.create_connection(("127.0.0.1", peer.port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(b"first")
    assert exactly(sock, 5 + len(TRAILER)) == b"first" + TRAILER
    return sock


def exactly(sock: socket.socket, size: int) -> bytes:
    """Receive `size` bytes, or those before an earlier end of file."""
    received = b""
    while len(received) < size and (more := sock.recv(size - len(received))):
        received += more
    return received


def to_the_end(sock: socket.socket) -> bytes:
    """Receive to the end of file."""
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a child process in the body, so that data gathers in its receive queues."""
    os.kill(pid, signal.SIGSTOP)
    try:
        os.waitpid(pid, os.WUNTRACED)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def unacknowledged(sock: socket.socket) -> int:
    """Return the number of bytes that the peer's kernel has not acknowledged (SIOCOUTQ, man 7 tcp)."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def answer(data: bytes) -> bytes:
    """Return the reply of a server that reads 4096 bytes at a time and finds all of `data` pending."""
    return b"".join(data[start : start + MESSAGE] + TRAILER for start in range(0, len(data), MESSAGE))


@pytest.mark.parametrize(
    "size", [1, 100, 4085, 4086, 4095, 4096, 4097, 8191, 8192, 12287, 40_000, 10 * 4096, 10 * 4096 + 4090]
)
@pytest.mark.parametrize("half_close", [True, False])
def test_messages_that_wait_to_be_read(peer: Running, size: int, half_close: bool) -> None:
    """Large reads are cut into messages of 4096 bytes, before an end of file and without one."""
    with connected(peer) as sock:
        with stopped(peer.pids[0]):
            sock.sendall(PAYLOAD[:size])
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            while unacknowledged(sock):
                pass
        due = answer(PAYLOAD[:size])
        assert exactly(sock, len(due)) == due
        if not half_close:
            sock.sendall(PAYLOAD[:100])
            assert exactly(sock, 100 + len(TRAILER)) == PAYLOAD[:100] + TRAILER
            sock.shutdown(socket.SHUT_WR)
        assert to_the_end(sock) == b""


def test_stream_of_a_client_that_reads_late(peer: Running) -> None:
    """A client that reads only when it cannot send gets every byte, with the acknowledgements in place."""
    received, sent = bytearray(), 0
    with connected(peer) as sock:
        sock.setblocking(False)
        while sent < len(PAYLOAD):
            _, writable, _ = select.select([sock], [sock], [], 60)
            if writable:
                sent += sock.send(PAYLOAD[sent : sent + 65536])
            else:
                received += sock.recv(16384)
        sock.setblocking(True)
        sock.settimeout(60)
        sock.shutdown(socket.SHUT_WR)
        received += to_the_end(sock)
    *messages, rest = bytes(received).split(TRAILER)
    assert rest == b""
    assert b"".join(messages) == PAYLOAD
    assert all(1 <= len(each) <= MESSAGE for each in messages)


def test_lengths_do_not_shift(peer: Running) -> None:
    """Short messages after long ones have the acknowledgement at their own end."""
    with connected(peer) as sock:
        for size in [4096, 4095, 1, 4090, 4096, 4096, 2]:
            sock.sendall(PAYLOAD[:size])
            assert exactly(sock, size + len(TRAILER)) == PAYLOAD[:size] + TRAILER
        sock.shutdown(socket.SHUT_WR)
        assert to_the_end(sock) == b""


def test_many_sessions_are_answered_to_the_end(peer: Running) -> None:
    """Sessions that end while others begin are all answered in full."""
    sizes = [1, 4096, 4097, 30_000]
    socks = [socket.create_connection(("127.0.0.1", peer.port), timeout=60) for _ in range(40)]
    starts = list(accumulate(range(len(socks)), initial=0))
    for i, sock in enumerate(socks):
        sock.sendall(PAYLOAD[starts[i] : starts[i] + sizes[i % len(sizes)]])
        sock.shutdown(socket.SHUT_WR)
    for i, sock in enumerate(socks):
        with sock:
            echo = to_the_end(sock).replace(TRAILER, b"")
        assert echo == PAYLOAD[starts[i] : starts[i] + sizes[i % len(sizes)]]
