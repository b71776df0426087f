"""Demonstrate the calls that set up a server, one at a time: what each changes, and what fails without it."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator

from echotime.demos.ports import bind_over_time_wait
from echotime.demos.script import (
    CLIENT,
    MISTAKE,
    SERVER,
    UNBOUND,
    Entry,
    Section,
    Step,
    accept_queue,
    attempt,
    expect,
    local_address,
    tcp_state,
)
from echotime.i18n.language import gettext as _
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.values import N_

_TIMEOUT = 0.2


def server() -> Iterator[Entry]:
    """Show a TCP server (socket, options, bind, listen, accept, the exchange), then a UDP server."""
    with Scratch() as scratch:
        listener = yield from _create_and_bind(scratch, "tcp")
        yield from _listen(scratch, listener)
        yield from _exchange(scratch, listener)
    with Scratch() as scratch:
        sock = yield from _create_and_bind(scratch, "udp")
        yield from _receive(scratch, sock)


def _create_and_bind(scratch: Scratch, transport: str) -> Generator[Entry, None, socket.socket]:
    tcp = transport == "tcp"
    title = _("{transport} server, step {number}: {call}")
    kind = "SOCK_STREAM" if tcp else "SOCK_DGRAM"

    def step(number: int, call: str) -> Section:
        return Section(title.format(transport=transport.upper(), number=number, call=call))

    yield step(1, f"s = socket(AF_INET, {kind})")
    sock = scratch.open(transport)
    yield local_address(SERVER, sock, UNBOUND)
    if tcp:
        yield tcp_state(SERVER, sock, "CLOSE")
    yield step(2, "s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reuse = sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    yield Step(SERVER, "getsockopt(SOL_SOCKET, SO_REUSEADDR)", str(reuse), expected="1")
    if tcp:
        text = N_("without setsockopt: bind, just after a server exited")
        remark = N_("its connections are in TIME_WAIT for a minute; after bind it is too late for the option")
        with Scratch() as other:
            yield attempt(MISTAKE, bind_over_time_wait, other, 0, 0, text=text, remark=remark, expected="EADDRINUSE")
    yield step(3, "s.bind(('127.0.0.1', 0))")
    sock.bind((scratch.host, 0))
    yield local_address(SERVER, sock)
    if tcp:
        yield tcp_state(SERVER, sock, "CLOSE")
        remark = N_("no socket listens on the port yet")
        yield attempt(CLIENT, scratch.connected_client, sock, text="connect", remark=remark, expected="ECONNREFUSED")
    text = N_("mistake: a second bind of the same socket")
    yield attempt(MISTAKE, sock.bind, (scratch.host, 0), text=text, expected="EINVAL")
    with Scratch() as other:
        text, second = N_("mistake: bind of another socket to this port"), other.open(transport)
        remark = "" if tcp else N_("it succeeds with SO_REUSEADDR on both: see echotime explain SO_REUSEADDR")
        yield attempt(MISTAKE, second.bind, sock.getsockname(), text=text, remark=remark, expected="EADDRINUSE")
    return sock


def _listen(scratch: Scratch, listener: socket.socket) -> Iterator[Entry]:
    yield Section(N_("TCP server, step 4: s.listen(1)"))
    yield attempt(MISTAKE, listener.accept, text=N_("without listen: accept"), expected="EINVAL")
    with scratch.open("tcp") as unbound:
        unbound.listen(1)
        address = str(unbound.getsockname())
        remark = N_("listen chooses a port, on every address")
        expected = expect(address, address.startswith("('0.0.0.0', "), "('0.0.0.0', PORT)")
        yield Step(MISTAKE, N_("without bind: listen, getsockname"), address, remark, expected)
        text = N_("mistake: bind after listen")
        yield attempt(MISTAKE, unbound.bind, (scratch.host, 0), text=text, expected="EINVAL")
    listener.listen(1)
    yield tcp_state(SERVER, listener, "LISTEN")
    client = scratch.connected_client(listener)
    client.settimeout(_TIMEOUT)
    remark = N_("the kernel completes the handshake before accept")
    yield attempt(CLIENT, client.sendall, b"hello", text="connect, send(b'hello')", remark=remark, expected="ok")
    yield tcp_state(CLIENT, client, "ESTABLISHED")
    yield accept_queue(listener, 1, 1)
    text, remark = N_("without accept: the client's recv(100)"), N_("connected, but never answered")
    yield attempt(MISTAKE, client.recv, 100, text=text, remark=remark, expected="nothing")


def _exchange(scratch: Scratch, listener: socket.socket) -> Iterator[Entry]:
    yield Section(N_("TCP server, step 5: connection, peer = s.accept()"))
    connection = scratch.accept(listener)
    yield Step(SERVER, N_("peer"), str(connection.getpeername()))
    yield local_address(SERVER, connection, str(listener.getsockname()))
    yield tcp_state(SERVER, connection, "ESTABLISHED")
    yield attempt(SERVER, connection.recv, 4096, expected="b'hello'")
    yield Section(N_("TCP server, at the client's end of file: recv returns b''"))
    client = scratch.connected_client(listener)
    half_closed = scratch.accept(listener)
    client.sendall(b"hello")
    client.shutdown(socket.SHUT_WR)
    yield Step(CLIENT, "send(b'hello'), shutdown(SHUT_WR)", "ok")
    yield attempt(SERVER, half_closed.recv, 4096, expected="b'hello'")
    yield attempt(SERVER, half_closed.recv, 4096, expected="b''")
    yield tcp_state(SERVER, half_closed, "CLOSE_WAIT")
    remark = N_("half-closed: the server can still send; closing now would lose the answer")
    yield attempt(SERVER, half_closed.sendall, b"hello", remark=remark, expected="ok")
    yield attempt(CLIENT, client.recv, 100, expected="b'hello'")
    yield attempt(SERVER, half_closed.close, expected="ok")
    yield attempt(CLIENT, client.recv, 100, remark=N_("the server's end of file"), expected="b''")


def _receive(scratch: Scratch, sock: socket.socket) -> Iterator[Entry]:
    yield Section(N_("UDP server, step 4: recvfrom(8192), in place of listen"))
    text = N_("mistake: listen() on UDP")
    yield attempt(MISTAKE, sock.listen, text=text, remark=N_("UDP has no connections"), expected="EOPNOTSUPP")
    client = scratch.connected_client(sock)
    client.settimeout(_TIMEOUT)
    remark = N_("it is queued in the receive buffer; if that is full, datagrams are dropped without an error")
    yield attempt(CLIENT, client.send, b"when?", remark=remark, expected="5")
    datagram, address = sock.recvfrom(8192)
    yield Step(SERVER, "recvfrom(8192)", str((datagram, address)), expected=str((b"when?", client.getsockname())))
    sock.sendto(b"now", address)
    remark = N_("the server's sendto used that address")
    yield attempt(CLIENT, client.recv, 100, remark=remark, expected="b'now'")
    client.send(b"when?")
    text = N_("mistake: recv(4), too short")
    yield attempt(MISTAKE, sock.recv, 4, text=text, remark=N_("the rest is lost"), expected="b'when'")
    unbound = scratch.open("udp")
    unbound.settimeout(_TIMEOUT)
    remark = N_("the socket has no port to which a client could send")
    text = N_("without bind: recv(100)")
    yield attempt(MISTAKE, unbound.recv, 100, text=text, remark=remark, expected="nothing")
