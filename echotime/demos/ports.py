"""Demonstrate which sockets may bind a port that is, or was, in use: SO_REUSEADDR and SO_REUSEPORT."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, attempt, expect, result_of
from echotime.sockopt.scratch import Scratch

_LISTENERS = 4
_CONNECTIONS = 60
_FIRST, _SECOND = "first", "second"


def reuse_address() -> Iterator[Entry]:
    """Show SO_REUSEADDR: bind despite TIME_WAIT on TCP, a shared port on UDP."""
    for first, second in ((0, 0), (0, 1), (1, 1)):
        yield Section(f"TCP: the first server with SO_REUSEADDR={first}, the second with {second}")
        with Scratch() as scratch:
            yield Step(_FIRST, "serves a client, closes first, and exits", "TIME_WAIT")
            expected = "ok" if first and second else "EADDRINUSE"
            yield attempt(_SECOND, bind_over_time_wait, scratch, first, second, text="bind", expected=expected)
    yield Section("TCP: two listening servers, both with SO_REUSEADDR=1")
    with Scratch() as scratch:
        listener = scratch.bind(_open(scratch, "tcp", socket.SO_REUSEADDR, 1))
        other = _open(scratch, "tcp", socket.SO_REUSEADDR, 1)
        yield attempt(_SECOND, other.bind, listener.getsockname(), text="bind", expected="EADDRINUSE")
    for reuse, expected in ((0, "EADDRINUSE"), (1, "ok")):
        yield Section(f"UDP: both with SO_REUSEADDR={reuse}")
        with Scratch() as scratch:
            yield from _share_udp_port(scratch, reuse, expected)


def _open(scratch: Scratch, transport: str, option: int, value: int) -> socket.socket:
    sock = scratch.open(transport)
    sock.setsockopt(socket.SOL_SOCKET, option, value)
    return sock


def bind_over_time_wait(scratch: Scratch, first_reuse: int, second_reuse: int) -> None:
    """Leave a connection of a first server in TIME_WAIT, and bind a second server to its port. Raises OSError."""
    listener = scratch.bind(_open(scratch, "tcp", socket.SO_REUSEADDR, first_reuse))
    address = listener.getsockname()
    client, connection = scratch.connection_pair(listener)
    connection.recv(1)
    connection.close()
    listener.close()
    client.recv(1)
    client.close()
    _open(scratch, "tcp", socket.SO_REUSEADDR, second_reuse).bind(address)


def _share_udp_port(scratch: Scratch, reuse: int, expected: str) -> Iterator[Entry]:
    first, second = (_open(scratch, "udp", socket.SO_REUSEADDR, reuse) for _ in range(2))
    scratch.bind(first)
    yield attempt(_SECOND, second.bind, first.getsockname(), text="bind to the first one's port", expected=expected)
    if not reuse:
        return
    scratch.connected_client(first).send(b"hello")
    yield attempt(_SECOND, second.recv, 100, remark="also if it belongs to another user", expected="b'hello'")
    first.setblocking(False)
    yield attempt(_FIRST, first.recv, 100, remark="the second receives its datagrams", expected="nothing")


def reuse_port() -> Iterator[Entry]:
    """Show that SO_REUSEPORT distributes connections among listeners."""
    for reuse, expected in ((0, "EADDRINUSE"), (1, "ok")):
        yield Section(f"SO_REUSEPORT={reuse} on both")
        with Scratch() as scratch:
            first, second = (_open(scratch, "tcp", socket.SO_REUSEPORT, reuse) for _ in range(2))
            scratch.bind(first)
            yield attempt(_SECOND, _join, second, first, text="bind to the first one's port", expected=expected)
    yield Section(f"{_LISTENERS} listeners, {_CONNECTIONS} connections")
    with Scratch() as scratch:
        listeners = [_open(scratch, "tcp", socket.SO_REUSEPORT, 1) for _ in range(_LISTENERS)]
        scratch.bind(listeners[0], _CONNECTIONS)
        for listener in listeners[1:]:
            _join(listener, listeners[0])
        yield from _distribute(scratch, listeners)


def _join(sock: socket.socket, first: socket.socket) -> None:
    sock.bind(first.getsockname())
    sock.listen(_CONNECTIONS)


def _distribute(scratch: Scratch, listeners: list[socket.socket]) -> Iterator[Entry]:
    for _ in range(_CONNECTIONS):
        scratch.connected_client(listeners[0])
    yield Step(CLIENT, f"connect, {_CONNECTIONS} times")
    counts = []
    for listener in listeners:
        listener.setblocking(False)
        counts.append(sum(result_of(scratch.accept, listener) != "nothing" for _ in range(_CONNECTIONS)))
    shares = " ".join(map(str, counts))
    expected = expect(shares, sum(counts) == _CONNECTIONS > max(counts), "shares for all")
    remark = "by a hash of both addresses and ports, so the shares differ"
    yield Step(SERVER, "accept on each until its queue is empty", shares, remark, expected)
