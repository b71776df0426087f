"""Who may bind a port that is, or was, another's: SO_REUSEADDR and SO_REUSEPORT."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demonstrations.script import CLIENT, SERVER, Act, Line, Phase, judged, outcome
from echotime.sockopt.scratch import Scratch

_LISTENERS = 4
_CONNECTIONS = 60


def reuse_address() -> Iterator[Line]:
    """SO_REUSEADDR: over TIME_WAIT on TCP, and what it means on UDP."""
    for first, again in ((0, 0), (0, 1), (1, 1)):
        yield Phase(f"TCP: the first server with SO_REUSEADDR={first}, the second with {again}")
        with Scratch() as scratch:
            yield from over_time_wait(scratch, first, again)
    yield Phase("TCP: two that listen, both with SO_REUSEADDR=1")
    with Scratch() as scratch:
        listener = _reusing(scratch, "tcp", 1)
        scratch.bind(listener)
        second = _reusing(scratch, "tcp", 1)
        yield Act("second", "bind", outcome(second.bind, listener.getsockname()), expected="EADDRINUSE")
    for reuse, expected in ((0, "EADDRINUSE"), (1, "ok")):
        yield Phase(f"UDP: both with SO_REUSEADDR={reuse}")
        with Scratch() as scratch:
            yield from _takeover(scratch, reuse, expected)


def _reusing(scratch: Scratch, transport: str, value: int) -> socket.socket:
    sock = scratch.open(transport)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, value)
    return sock


def over_time_wait(scratch: Scratch, first: int, again: int) -> Iterator[Line]:
    """A server with a connection in TIME_WAIT ends, and another binds its port."""
    listener = scratch.bind(_reusing(scratch, "tcp", first))
    address = listener.getsockname()
    client, connection = scratch.pair(listener)
    connection.recv(1)
    connection.close()
    listener.close()
    client.recv(1)
    client.close()
    yield Act("first", "serves a client, closes before it, and ends", "TIME_WAIT")
    second = _reusing(scratch, "tcp", again)
    expected = "ok" if first and again else "EADDRINUSE"
    yield Act("second", f"bind({address})", outcome(second.bind, address), expected=expected)


def _takeover(scratch: Scratch, reuse: int, expected: str) -> Iterator[Line]:
    first, second = (_reusing(scratch, "udp", reuse) for _ in range(2))
    scratch.bind(first)
    yield Act("second", "bind to the first one's port", outcome(second.bind, first.getsockname()), expected=expected)
    if not reuse:
        return
    scratch.client(first).send(b"hello")
    yield Act("second", "recv(100)", outcome(second.recv, 100), "of whichever user it is", "b'hello'")
    first.setblocking(False)
    yield Act("first", "recv(100)", outcome(first.recv, 100), "its datagrams are taken", "nothing")


def reuse_port() -> Iterator[Line]:
    """SO_REUSEPORT: connections spread over listeners."""
    for reuse, expected in ((0, "EADDRINUSE"), (1, "ok")):
        yield Phase(f"SO_REUSEPORT={reuse} on both")
        with Scratch() as scratch:
            first, second = _sharing(scratch, reuse), _sharing(scratch, reuse)
            scratch.bind(first)
            yield Act("second", "bind to the first one's port", outcome(_join, second, first), expected=expected)
    yield Phase(f"{_LISTENERS} listeners, {_CONNECTIONS} connections")
    with Scratch() as scratch:
        listeners = [_sharing(scratch, 1) for _ in range(_LISTENERS)]
        scratch.bind(listeners[0], _CONNECTIONS)
        for listener in listeners[1:]:
            _join(listener, listeners[0])
        yield from _spread(scratch, listeners)


def _sharing(scratch: Scratch, value: int) -> socket.socket:
    sock = scratch.open("tcp")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, value)
    return sock


def _join(sock: socket.socket, first: socket.socket) -> None:
    sock.bind(first.getsockname())
    sock.listen(_CONNECTIONS)


def _accept(scratch: Scratch, listener: socket.socket) -> None:
    scratch.accept(listener)


def _spread(scratch: Scratch, listeners: list[socket.socket]) -> Iterator[Line]:
    for _ in range(_CONNECTIONS):
        scratch.client(listeners[0])
    yield Act(CLIENT, f"connect, {_CONNECTIONS} times")
    came = []
    for listener in listeners:
        listener.setblocking(False)
        came.append(sum(outcome(_accept, scratch, listener) == "ok" for _ in range(_CONNECTIONS)))
    shares = " ".join(map(str, came))
    well = sum(came) == _CONNECTIONS > max(came)
    yield Act(
        SERVER,
        "accept on each until nothing is left",
        shares,
        "by a hash of both addresses, so never quite evenly",
        judged(shares, well, "shares for all"),
    )
