"""Demonstrate which sockets may bind a port that is, or was, in use: SO_REUSEADDR and SO_REUSEPORT."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, attempt, expect, result_of
from echotime.i18n.language import gettext as _
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.values import N_

_LISTENERS = 4
_CONNECTIONS = 60
_FIRST, _SECOND = N_("first"), N_("second")
_BIND_TO_FIRST = N_("bind to the first one's port")


def reuse_address() -> Iterator[Entry]:
    """Show SO_REUSEADDR: bind despite TIME_WAIT on TCP, a shared port on UDP."""
    for first, second in ((0, 0), (0, 1), (1, 1)):
        title = _("TCP: the first server with SO_REUSEADDR={first}, the second with {second}")
        yield Section(title.format(first=first, second=second))
        with Scratch() as scratch:
            yield Step(_FIRST, N_("serves a client, closes first, and exits"), "TIME_WAIT")
            expected = "ok" if first and second else "EADDRINUSE"
            yield attempt(_SECOND, bind_over_time_wait, scratch, first, second, text="bind", expected=expected)
    yield Section(N_("TCP: two listening servers, both with SO_REUSEADDR=1"))
    with Scratch() as scratch:
        listener = scratch.bind(_open(scratch, "tcp", socket.SO_REUSEADDR, 1))
        other = _open(scratch, "tcp", socket.SO_REUSEADDR, 1)
        yield attempt(_SECOND, other.bind, listener.getsockname(), text="bind", expected="EADDRINUSE")
    for reuse, expected in ((0, "EADDRINUSE"), (1, "ok")):
        yield Section(_("UDP: both with SO_REUSEADDR={reuse}").format(reuse=reuse))
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
    first, second = (_open(scratch, "udp", socket.SO_REUSEADDR, reuse) for _number in range(2))
    scratch.bind(first)
    yield attempt(_SECOND, second.bind, first.getsockname(), text=_BIND_TO_FIRST, expected=expected)
    if not reuse:
        return
    scratch.connected_client(first).send(b"hello")
    yield attempt(_SECOND, second.recv, 100, remark=N_("also if it belongs to another user"), expected="b'hello'")
    first.setblocking(False)
    yield attempt(_FIRST, first.recv, 100, remark=N_("the second receives its datagrams"), expected="nothing")


def reuse_port() -> Iterator[Entry]:
    """Show that SO_REUSEPORT distributes connections among listeners, and what is lost when one of them closes."""
    for reuse, expected in ((0, "EADDRINUSE"), (1, "ok")):
        yield Section(_("SO_REUSEPORT={reuse} on both").format(reuse=reuse))
        with Scratch() as scratch:
            first, second = (_open(scratch, "tcp", socket.SO_REUSEPORT, reuse) for _number in range(2))
            scratch.bind(first)
            yield attempt(_SECOND, _join, second, first, text=_BIND_TO_FIRST, expected=expected)
    title = _("{listeners} listeners, {connections} connections")
    yield Section(title.format(listeners=_LISTENERS, connections=_CONNECTIONS))
    with Scratch() as scratch:
        listeners = [_open(scratch, "tcp", socket.SO_REUSEPORT, 1) for _number in range(_LISTENERS)]
        scratch.bind(listeners[0], _CONNECTIONS)
        for listener in listeners[1:]:
            _join(listener, listeners[0])
        yield from _distribute(scratch, listeners)
    yield Section(N_("one of two listeners closes before it has accepted its connections"))
    with Scratch() as scratch:
        first, second = (_open(scratch, "tcp", socket.SO_REUSEPORT, 1) for _number in range(2))
        scratch.bind(first, _CONNECTIONS)
        _join(second, first)
        yield from _close_with_pending(scratch, first, second)


def _join(sock: socket.socket, first: socket.socket) -> None:
    sock.bind(first.getsockname())
    sock.listen(_CONNECTIONS)


def _distribute(scratch: Scratch, listeners: list[socket.socket]) -> Iterator[Entry]:
    for _number in range(_CONNECTIONS):
        scratch.connected_client(listeners[0])
    yield Step(CLIENT, _("connect, {count} times").format(count=_CONNECTIONS))
    counts = []
    for listener in listeners:
        listener.setblocking(False)
        counts.append(sum(result_of(scratch.accept, listener) != "nothing" for _number in range(_CONNECTIONS)))
    shares = " ".join(map(str, counts))
    expected = expect(shares, sum(counts) == _CONNECTIONS > max(counts), N_("shares for all"))
    remark = N_("by a hash of both addresses and ports, so the shares differ")
    yield Step(SERVER, N_("accept on each until its queue is empty"), shares, remark, expected)


def _close_with_pending(scratch: Scratch, first: socket.socket, second: socket.socket) -> Iterator[Entry]:
    clients = [scratch.connected_client(first) for _number in range(_CONNECTIONS)]
    yield Step(CLIENT, _("connect, {count} times").format(count=_CONNECTIONS))
    second.close()
    yield Step(_SECOND, "close()")
    lost = 0
    for client in clients:
        client.setblocking(False)
        lost += result_of(client.recv, 1) == "ECONNRESET"
    expected = expect(str(lost), 0 < lost < _CONNECTIONS, N_("some of them"))
    remark = N_("a restart of that server loses them; with one socket for both the first would accept them")
    yield Step(CLIENT, N_("connections that were reset"), str(lost), remark, expected)
