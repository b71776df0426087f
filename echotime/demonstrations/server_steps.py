"""The steps of a server, one at a time: what each call changes, and what goes wrong without it (seed: section 1, 3)."""

from __future__ import annotations

import socket
from collections.abc import Generator, Iterator
from contextlib import closing

from echotime.demonstrations.ports import over_time_wait
from echotime.demonstrations.script import CLIENT, SERVER, Act, Line, Phase, judged, outcome
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import tcp_info

LEFT_OUT, OTHER_ORDER = "left out", "misplaced"
UNBOUND = "('0.0.0.0', 0)"
_SHORT = 0.2


def server() -> Iterator[Line]:
    """A TCP server: socket, options, bind, listen; then accept, and the conversation. A UDP server after it."""
    with Scratch() as scratch:
        listener = yield from _create_and_bind(scratch, "tcp")
        yield from _listen(scratch, listener)
        yield from _converse(scratch, listener)
    with Scratch() as scratch:
        sock = yield from _create_and_bind(scratch, "udp")
        yield from _receive(scratch, sock)


def state(who: str, sock: socket.socket, expected: str) -> Act:
    """The state of a TCP socket, as TCP_INFO has it."""
    return Act(who, "its state, by TCP_INFO", tcp_info(sock).state, expected=expected)


def name(who: str, sock: socket.socket, expected: str = "") -> Act:
    """What getsockname says."""
    return Act(who, "getsockname", str(sock.getsockname()), expected=expected)


def _create_and_bind(scratch: Scratch, transport: str) -> Generator[Line, None, socket.socket]:
    tcp = transport == "tcp"
    title = f"{transport.upper()} server"
    yield Phase(f"{title}, step 1: s = socket(AF_INET, {'SOCK_STREAM' if tcp else 'SOCK_DGRAM'})")
    sock = scratch.open(transport)
    yield name(SERVER, sock, UNBOUND)
    if tcp:
        yield state(SERVER, sock, "CLOSE")
    yield Phase(f"{title}, step 2: s.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reuse = sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    yield Act(SERVER, "getsockopt(SOL_SOCKET, SO_REUSEADDR)", str(reuse), expected="1")
    if tcp:
        yield from _without_reuse()
    yield Phase(f"{title}, step 3: s.bind(('127.0.0.1', 0))")
    sock.bind((scratch.host, 0))
    yield name(SERVER, sock)
    if tcp:
        yield state(SERVER, sock, "CLOSE")
        yield Act(
            CLIENT,
            "connect",
            outcome(scratch.client, sock),
            "a port that is bound is nobody's to talk to yet",
            "ECONNREFUSED",
        )
    with Scratch() as other:
        second = other.open(transport)
        yield Act(
            OTHER_ORDER,
            "a second bind of the same socket",
            outcome(sock.bind, (scratch.host, 0)),
            expected="EINVAL",
        )
        yield Act(
            OTHER_ORDER,
            "another socket's bind to this port",
            outcome(second.bind, sock.getsockname()),
            "" if tcp else "set on both, SO_REUSEADDR would let it: see echotime explain SO_REUSEADDR",
            "EADDRINUSE",
        )
    return sock


def _without_reuse() -> Iterator[Line]:
    with Scratch() as scratch:
        for line in over_time_wait(scratch, 0, 0):
            if isinstance(line, Act) and line.expected:
                yield Act(
                    LEFT_OUT,
                    "bind, soon after an earlier server ended",
                    line.result,
                    "its connections are in TIME_WAIT, for a minute; set after bind it comes too late",
                    line.expected,
                )


def _listen(scratch: Scratch, listener: socket.socket) -> Iterator[Line]:
    yield Phase("TCP server, step 4: s.listen(1)")
    yield Act(LEFT_OUT, "accept", outcome(listener.accept), expected="EINVAL")
    with closing(scratch.open("tcp")) as unbound:
        unbound.listen(1)
        chosen = str(unbound.getsockname())
        yield Act(
            LEFT_OUT,
            "bind: listen chooses a port, on every address",
            chosen,
            "the loopback address was given by bind alone",
            judged(chosen, chosen.startswith("('0.0.0.0', "), "('0.0.0.0', PORT)"),
        )
        yield Act(OTHER_ORDER, "bind after listen", outcome(unbound.bind, (scratch.host, 0)), expected="EINVAL")
    listener.listen(1)
    yield state(SERVER, listener, "LISTEN")
    client = scratch.client(listener)
    client.settimeout(_SHORT)
    yield Act(
        CLIENT,
        "connect, send(b'hello')",
        outcome(client.sendall, b"hello"),
        "the kernel completes the handshake; nobody has called accept yet",
        "ok",
    )
    yield state(CLIENT, client, "ESTABLISHED")
    info = tcp_info(listener)
    yield Act(
        SERVER, "TCP_INFO of the listener", f"{info.waiting} waiting, limit {info.limit}", expected="1 waiting, limit 1"
    )
    yield Act(
        LEFT_OUT,
        "accept: the client's recv(100)",
        outcome(client.recv, 100),
        "connected, and never answered",
        "nothing",
    )


def _converse(scratch: Scratch, listener: socket.socket) -> Iterator[Line]:
    yield Phase("TCP server, then: connection, peer = s.accept()")
    connection = scratch.accept(listener)
    yield Act(SERVER, "peer", str(connection.getpeername()))
    yield name(SERVER, connection, str(listener.getsockname()))
    yield state(SERVER, connection, "ESTABLISHED")
    yield Act(SERVER, "connection.recv(4096)", outcome(connection.recv, 4096), expected="b'hello'")
    yield Phase("TCP server, at the client's end of file: recv gives b''")
    client = scratch.client(listener)
    waiting = scratch.accept(listener)
    client.sendall(b"hello")
    client.shutdown(socket.SHUT_WR)
    yield Act(CLIENT, "send(b'hello'), shutdown(SHUT_WR)", "ok")
    read = [outcome(waiting.recv, 4096) for _ in range(2)]
    yield Act(SERVER, "recv(4096), recv(4096)", " ".join(read), expected="b'hello' b''")
    yield state(SERVER, waiting, "CLOSE_WAIT")
    yield Act(
        SERVER,
        "sendall(b'hello')",
        outcome(waiting.sendall, b"hello"),
        "half-closed: this way is still open; a server that closes now leaves it unanswered",
        "ok",
    )
    yield Act(CLIENT, "recv(100)", outcome(client.recv, 100), expected="b'hello'")
    yield Act(SERVER, "close", outcome(waiting.close), expected="ok")
    yield Act(CLIENT, "recv(100)", outcome(client.recv, 100), "the server's end of file", "b''")


def _receive(scratch: Scratch, sock: socket.socket) -> Iterator[Line]:
    yield Phase("UDP server, step 4: recvfrom(8192), in place of listen")
    yield Act(OTHER_ORDER, "listen", outcome(sock.listen), "there are no connections to wait for", "EOPNOTSUPP")
    client = scratch.client(sock)
    client.settimeout(_SHORT)
    yield Act(
        CLIENT,
        "send(b'when?')",
        outcome(client.send, b"when?"),
        "it waits in the receive buffer; when that is full, the next are dropped in silence",
        "5",
    )
    datagram, address = sock.recvfrom(8192)
    yield Act(SERVER, "recvfrom(8192)", str((datagram, address)), expected=str((b"when?", client.getsockname())))
    sock.sendto(b"now", address)
    yield Act(CLIENT, "recv(100)", outcome(client.recv, 100), "sendto answered that address", "b'now'")
    client.send(b"when?")
    yield Act(OTHER_ORDER, "recvfrom(4): too short", str(sock.recvfrom(4)[0]), "the rest is gone", "b'when'")
    with Scratch() as other:
        unbound = other.open("udp")
        yield Act(LEFT_OUT, "bind: recvfrom", outcome(_nobody, unbound), "nobody knows where to send to", "nothing")


def _nobody(sock: socket.socket) -> bytes:
    sock.settimeout(_SHORT)
    return sock.recv(100)
