"""Who may bind a port that is, or was, another's: SO_REUSEADDR and SO_REUSEPORT."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, expect, result_of
from echotime.sockopt.scratch import Scratch

_LISTENERS = 4
_CONNECTIONS = 60


def reuse_address() -> Iterator[Entry]:
    """SO_REUSEADDR: over TIME_WAIT on TCP, and what it means on UDP."""
    for first, again in ((0, 0), (0, 1), (1, 1)):
        yield Section(f"TCP: the first server with SO_REUSEADDR={first}, the second with {again}")
        with Scratch() as scratch:
            yield from over_time_wait(scratch, first, again)
    yield Section("TCP: two that listen, both with SO_REUSEADDR=1")
    with Scratch() as scratch:
        listener = _reuse_address_socket(scratch, "tcp", 1)
        scratch.bind(listener)
        second = _reuse_address_socket(scratch, "tcp", 1)
        yield Step("second", "bind", result_of(second.bind, listener.getsockname()), expected="EADDRINUSE")
    for reuse, expected in ((0, "EADDRINUSE"), (1, "ok")):
        yield Section(f"UDP: both with SO_REUSEADDR={reuse}")
        with Scratch() as scratch:
            yield from _takeover(scratch, reuse, expected)


def _reuse_address_socket(scratch: Scratch, transport: str, value: int) -> socket.socket:
    sock = scratch.open(transport)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, value)
    return sock


def over_time_wait(scratch: Scratch, first_reuse: int, second_reuse: int) -> Iterator[Entry]:
    """A server with a connection in TIME_WAIT ends, and another binds its port."""
    listener = scratch.bind(_reuse_address_socket(scratch, "tcp", first_reuse))
    address = listener.getsockname()
    client, connection = scratch.connection_pair(listener)
    connection.recv(1)
    connection.close()
    listener.close()
    client.recv(1)
    client.close()
    yield Step("first", "serves a client, closes before it, and ends", "TIME_WAIT")
    second = _reuse_address_socket(scratch, "tcp", second_reuse)
    expected = "ok" if first_reuse and second_reuse else "EADDRINUSE"
    yield Step("second", f"bind({address})", result_of(second.bind, address), expected=expected)


def _takeover(scratch: Scratch, reuse: int, expected: str) -> Iterator[Entry]:
    first, second = (_reuse_address_socket(scratch, "udp", reuse) for _ in range(2))
    scratch.bind(first)
    yield Step("second", "bind to the first one's port", result_of(second.bind, first.getsockname()), expected=expected)
    if not reuse:
        return
    scratch.connected_client(first).send(b"hello")
    yield Step("second", "recv(100)", result_of(second.recv, 100), "of whichever user it is", "b'hello'")
    first.setblocking(False)
    yield Step("first", "recv(100)", result_of(first.recv, 100), "its datagrams are taken", "nothing")


def reuse_port() -> Iterator[Entry]:
    """SO_REUSEPORT: connections spread over listeners."""
    for reuse, expected in ((0, "EADDRINUSE"), (1, "ok")):
        yield Section(f"SO_REUSEPORT={reuse} on both")
        with Scratch() as scratch:
            first, second = _reuse_port_socket(scratch, reuse), _reuse_port_socket(scratch, reuse)
            scratch.bind(first)
            yield Step("second", "bind to the first one's port", result_of(_join, second, first), expected=expected)
    yield Section(f"{_LISTENERS} listeners, {_CONNECTIONS} connections")
    with Scratch() as scratch:
        listeners = [_reuse_port_socket(scratch, 1) for _ in range(_LISTENERS)]
        scratch.bind(listeners[0], _CONNECTIONS)
        for listener in listeners[1:]:
            _join(listener, listeners[0])
        yield from _spread(scratch, listeners)


def _reuse_port_socket(scratch: Scratch, value: int) -> socket.socket:
    sock = scratch.open("tcp")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, value)
    return sock


def _join(sock: socket.socket, first: socket.socket) -> None:
    sock.bind(first.getsockname())
    sock.listen(_CONNECTIONS)


def _accept(scratch: Scratch, listener: socket.socket) -> None:
    scratch.accept(listener)


def _spread(scratch: Scratch, listeners: list[socket.socket]) -> Iterator[Entry]:
    for _ in range(_CONNECTIONS):
        scratch.connected_client(listeners[0])
    yield Step(CLIENT, f"connect, {_CONNECTIONS} times")
    counts = []
    for listener in listeners:
        listener.setblocking(False)
        counts.append(sum(result_of(_accept, scratch, listener) == "ok" for _ in range(_CONNECTIONS)))
    shares = " ".join(map(str, counts))
    ok = sum(counts) == _CONNECTIONS > max(counts)
    yield Step(
        SERVER,
        "accept on each until nothing is left",
        shares,
        "by a hash of both addresses, so never quite evenly",
        expect(shares, ok, "shares for all"),
    )
