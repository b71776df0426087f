"""The steps of a client, one at a time: what each call changes, and what goes wrong without it (seed: section 1)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demonstrations.script import CLIENT, SERVER, Act, Line, Phase, judged, outcome
from echotime.demonstrations.server_steps import LEFT_OUT, OTHER_ORDER, UNBOUND, name, state
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import tcp_info

_SHORT = 0.2


def client() -> Iterator[Line]:
    """A TCP client: socket, connect; then the conversation. A UDP client after it."""
    with Scratch() as scratch:
        yield from _connect(scratch)
    with Scratch() as scratch:
        yield from _datagrams(scratch)


def _connect(scratch: Scratch) -> Iterator[Line]:
    yield Phase("TCP client, step 1: s = socket(AF_INET, SOCK_STREAM)")
    sock = scratch.open("tcp")
    yield name(CLIENT, sock, UNBOUND)
    yield state(CLIENT, sock, "CLOSE")
    yield Phase("TCP client, step 2: s.connect(address)")
    yield Act(LEFT_OUT, "send(b'hello')", outcome(scratch.open("tcp").send, b"hello"), expected="EPIPE")
    yield Act(LEFT_OUT, "recv(100)", outcome(scratch.open("tcp").recv, 100), expected="ENOTCONN")
    bound = scratch.open("tcp")
    bound.bind((scratch.host, 0))
    yield Act(
        LEFT_OUT,
        "the server's listen: connect",
        outcome(scratch.open("tcp").connect, bound.getsockname()),
        expected="ECONNREFUSED",
    )
    listener = scratch.bind(scratch.open("tcp"))
    # with a time limit Python connects without blocking, and a second connect would only complete the first
    sock.settimeout(None)
    yield Act(CLIENT, "connect", outcome(sock.connect, listener.getsockname()), expected="ok")
    own = str(sock.getsockname())
    yield Act(
        CLIENT,
        "getsockname",
        own,
        "connect chose address and port; a bind before it would have",
        judged(own, own not in {UNBOUND, str(listener.getsockname())}, "('127.0.0.1', PORT)"),
    )
    yield state(CLIENT, sock, "ESTABLISHED")
    yield Act(OTHER_ORDER, "a second connect", outcome(sock.connect, listener.getsockname()), expected="EISCONN")
    sock.settimeout(_SHORT)
    connection = scratch.accept(listener)
    yield Act(SERVER, "accept: the peer", str(connection.getpeername()), expected=own)
    yield from _converse(sock, connection)


def _converse(sock: socket.socket, connection: socket.socket) -> Iterator[Line]:
    yield Phase("TCP client, then: s.sendall(b'hello'), s.shutdown(SHUT_WR)")
    connection.settimeout(_SHORT)
    sock.sendall(b"hello")
    yield Act(SERVER, "recv(4096)", outcome(connection.recv, 4096), expected="b'hello'")
    yield Act(
        LEFT_OUT,
        "shutdown: the server's recv(4096)",
        outcome(connection.recv, 4096),
        "a server that reads to the end of file waits on",
        "nothing",
    )
    yield Act(CLIENT, "shutdown(SHUT_WR)", outcome(sock.shutdown, socket.SHUT_WR), expected="ok")
    yield Act(SERVER, "recv(4096)", outcome(connection.recv, 4096), expected="b''")
    half_closed = tcp_info(sock).state
    yield Act(
        CLIENT,
        "its state, by TCP_INFO",
        half_closed,
        "FIN_WAIT2 once the server's kernel has acknowledged that",
        judged(half_closed, half_closed.startswith("FIN_WAIT"), "FIN_WAIT1"),
    )
    yield Act(OTHER_ORDER, "send after shutdown", outcome(sock.send, b"x"), expected="EPIPE")
    connection.sendall(b"hello, I get it!")
    connection.close()
    yield Act(
        OTHER_ORDER,
        "recv(5), once: not all",
        outcome(sock.recv, 5),
        "a stream has no messages: read until b''",
        "b'hello'",
    )
    yield Act(
        CLIENT,
        "recv(4096), recv(4096)",
        " ".join(outcome(sock.recv, 4096) for _ in range(2)),
        expected="b', I get it!' b''",
    )


def _datagrams(scratch: Scratch) -> Iterator[Line]:
    yield Phase("UDP client, step 1: s = socket(AF_INET, SOCK_DGRAM)")
    sock = scratch.open("udp")
    sock.settimeout(_SHORT)
    yield name(CLIENT, sock, UNBOUND)
    yield Phase("UDP client, step 2: s.sendto(b'', address), s.recvfrom(2048)")
    server, stranger = (scratch.bind(scratch.open("udp")) for _ in range(2))
    yield Act(
        CLIENT,
        "sendto(b'', address)",
        outcome(sock.sendto, b"", server.getsockname()),
        "no byte, and a datagram all the same",
        "0",
    )
    own = str(sock.getsockname())
    yield Act(
        CLIENT,
        "getsockname",
        own,
        "sendto chose a port, on every address",
        judged(own, own.startswith("('0.0.0.0', ") and own != UNBOUND, "('0.0.0.0', PORT)"),
    )
    question, address = server.recvfrom(2048)
    yield Act(SERVER, "recvfrom(2048)", str(question), expected="b''")
    stranger.sendto(b"forged", address)
    yield Act(
        LEFT_OUT,
        "connect: recvfrom(2048)",
        outcome(sock.recv, 2048),
        "of a socket that nobody asked: look at the address",
        "b'forged'",
    )
    yield from _connected(scratch, server, stranger)


def _connected(scratch: Scratch, server: socket.socket, stranger: socket.socket) -> Iterator[Line]:
    yield Phase("UDP client with s.connect(address) before it: nothing is sent by that")
    sock = scratch.client(server)
    sock.settimeout(_SHORT)
    sock.send(b"")
    stranger.sendto(b"forged", sock.getsockname())
    server.sendto(b"now", server.recvfrom(2048)[1])
    yield Act(CLIENT, "recv(2048)", outcome(sock.recv, 2048), "the stranger's was refused", "b'now'")
    server.close()
    sock.send(b"")
    yield Act(
        CLIENT,
        "send(b'') when the server is gone, recv(2048)",
        outcome(sock.recv, 2048),
        "told by ICMP; without connect it would wait for its time limit",
        "ECONNREFUSED",
    )
