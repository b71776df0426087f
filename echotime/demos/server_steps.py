"""The steps of a server, one at a time: what each call changes, and what goes wrong without it (seed: section 1, 3)."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator
from contextlib import closing

from echotime.demos.ports import over_time_wait
from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, expect, result_of
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import read_tcp_info

LEFT_OUT, OTHER_ORDER = "left out", "misplaced"
UNBOUND = "('0.0.0.0', 0)"
_TIMEOUT = 0.2


def server() -> Iterator[Entry]:
    """A TCP server: socket, options, bind, listen; then accept, and the conversation. A UDP server after it."""
    with Scratch() as scratch:
        listener = yield from _create_and_bind(scratch, "tcp")
        yield from _listen(scratch, listener)
        yield from _exchange(scratch, listener)
    with Scratch() as scratch:
        sock = yield from _create_and_bind(scratch, "udp")
        yield from _receive(scratch, sock)


def state(actor: str, sock: socket.socket, expected: str) -> Step:
    """The state of a TCP socket, as TCP_INFO has it."""
    return Step(actor, "its state, by TCP_INFO", read_tcp_info(sock).state, expected=expected)


def name(actor: str, sock: socket.socket, expected: str = "") -> Step:
    """What getsockname says."""
    return Step(actor, "getsockname", str(sock.getsockname()), expected=expected)


def _create_and_bind(scratch: Scratch, transport: str) -> Generator[Entry, None, socket.socket]:
    tcp = transport == "tcp"
    title = f"{transport.upper()} server"
    yield Section(f"{title}, step 1: s = socket(AF_INET, {'SOCK_STREAM' if tcp else 'SOCK_DGRAM'})")
    sock = scratch.open(transport)
    yield name(SERVER, sock, UNBOUND)
    if tcp:
        yield state(SERVER, sock, "CLOSE")
    yield Section(f"{title}, step 2: s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reuse = sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    yield Step(SERVER, "getsockopt(SOL_SOCKET, SO_REUSEADDR)", str(reuse), expected="1")
    if tcp:
        yield from _without_reuse()
    yield Section(f"{title}, step 3: s.bind(('127.0.0.1', 0))")
    sock.bind((scratch.host, 0))
    yield name(SERVER, sock)
    if tcp:
        yield state(SERVER, sock, "CLOSE")
        yield Step(
            CLIENT,
            "connect",
            result_of(scratch.connected_client, sock),
            "a port that is bound is nobody's to talk to yet",
            "ECONNREFUSED",
        )
    with Scratch() as other:
        second = other.open(transport)
        yield Step(
            OTHER_ORDER,
            "a second bind of the same socket",
            result_of(sock.bind, (scratch.host, 0)),
            expected="EINVAL",
        )
        yield Step(
            OTHER_ORDER,
            "another socket's bind to this port",
            result_of(second.bind, sock.getsockname()),
            "" if tcp else "set on both, SO_REUSEADDR would let it: see echotime explain SO_REUSEADDR",
            "EADDRINUSE",
        )
    return sock


def _without_reuse() -> Iterator[Entry]:
    with Scratch() as scratch:
        for line in over_time_wait(scratch, 0, 0):
            if isinstance(line, Step) and line.expected:
                yield Step(
                    LEFT_OUT,
                    "bind, soon after an earlier server ended",
                    line.result,
                    "its connections are in TIME_WAIT, for a minute; set after bind it comes too late",
                    line.expected,
                )


def _listen(scratch: Scratch, listener: socket.socket) -> Iterator[Entry]:
    yield Section("TCP server, step 4: s.listen(1)")
    yield Step(LEFT_OUT, "accept", result_of(listener.accept), expected="EINVAL")
    with closing(scratch.open("tcp")) as unbound:
        unbound.listen(1)
        bound_address = str(unbound.getsockname())
        yield Step(
            LEFT_OUT,
            "bind: listen chooses a port, on every address",
            bound_address,
            "the loopback address was given by bind alone",
            expect(bound_address, bound_address.startswith("('0.0.0.0', "), "('0.0.0.0', PORT)"),
        )
        yield Step(OTHER_ORDER, "bind after listen", result_of(unbound.bind, (scratch.host, 0)), expected="EINVAL")
    listener.listen(1)
    yield state(SERVER, listener, "LISTEN")
    client = scratch.connected_client(listener)
    client.settimeout(_TIMEOUT)
    yield Step(
        CLIENT,
        "connect, send(b'hello')",
        result_of(client.sendall, b"hello"),
        "the kernel completes the handshake; nobody has called accept yet",
        "ok",
    )
    yield state(CLIENT, client, "ESTABLISHED")
    info = read_tcp_info(listener)
    yield Step(
        SERVER,
        "TCP_INFO of the listener",
        f"{info.accept_queue} waiting, limit {info.accept_queue_limit}",
        expected="1 waiting, limit 1",
    )
    yield Step(
        LEFT_OUT,
        "accept: the client's recv(100)",
        result_of(client.recv, 100),
        "connected, and never answered",
        "nothing",
    )


def _exchange(scratch: Scratch, listener: socket.socket) -> Iterator[Entry]:
    yield Section("TCP server, then: connection, peer = s.accept()")
    connection = scratch.accept(listener)
    yield Step(SERVER, "peer", str(connection.getpeername()))
    yield name(SERVER, connection, str(listener.getsockname()))
    yield state(SERVER, connection, "ESTABLISHED")
    yield Step(SERVER, "connection.recv(4096)", result_of(connection.recv, 4096), expected="b'hello'")
    yield Section("TCP server, at the client's end of file: recv gives b''")
    client = scratch.connected_client(listener)
    half_closed = scratch.accept(listener)
    client.sendall(b"hello")
    client.shutdown(socket.SHUT_WR)
    yield Step(CLIENT, "send(b'hello'), shutdown(SHUT_WR)", "ok")
    read = [result_of(half_closed.recv, 4096) for _ in range(2)]
    yield Step(SERVER, "recv(4096), recv(4096)", " ".join(read), expected="b'hello' b''")
    yield state(SERVER, half_closed, "CLOSE_WAIT")
    yield Step(
        SERVER,
        "sendall(b'hello')",
        result_of(half_closed.sendall, b"hello"),
        "half-closed: this way is still open; a server that closes now leaves it unanswered",
        "ok",
    )
    yield Step(CLIENT, "recv(100)", result_of(client.recv, 100), expected="b'hello'")
    yield Step(SERVER, "close", result_of(half_closed.close), expected="ok")
    yield Step(CLIENT, "recv(100)", result_of(client.recv, 100), "the server's end of file", "b''")


def _receive(scratch: Scratch, sock: socket.socket) -> Iterator[Entry]:
    yield Section("UDP server, step 4: recvfrom(8192), in place of listen")
    yield Step(OTHER_ORDER, "listen", result_of(sock.listen), "there are no connections to wait for", "EOPNOTSUPP")
    client = scratch.connected_client(sock)
    client.settimeout(_TIMEOUT)
    yield Step(
        CLIENT,
        "send(b'when?')",
        result_of(client.send, b"when?"),
        "it waits in the receive buffer; when that is full, the next are dropped in silence",
        "5",
    )
    datagram, address = sock.recvfrom(8192)
    yield Step(SERVER, "recvfrom(8192)", str((datagram, address)), expected=str((b"when?", client.getsockname())))
    sock.sendto(b"now", address)
    yield Step(CLIENT, "recv(100)", result_of(client.recv, 100), "sendto answered that address", "b'now'")
    client.send(b"when?")
    yield Step(OTHER_ORDER, "recvfrom(4): too short", str(sock.recvfrom(4)[0]), "the rest is gone", "b'when'")
    with Scratch() as other:
        unbound = other.open("udp")
        yield Step(
            LEFT_OUT, "bind: recvfrom", result_of(_recv_unbound, unbound), "nobody knows where to send to", "nothing"
        )


def _recv_unbound(sock: socket.socket) -> bytes:
    sock.settimeout(_TIMEOUT)
    return sock.recv(100)
