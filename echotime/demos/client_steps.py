"""The steps of a client, one at a time: what each call changes, and what goes wrong without it (seed: section 1)."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Step, expect, result_of
from echotime.demos.server_steps import LEFT_OUT, OTHER_ORDER, UNBOUND, name, state
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import read_tcp_info

_TIMEOUT = 0.2


def client() -> Iterator[Entry]:
    """A TCP client: socket, connect; then the conversation. A UDP client after it."""
    with Scratch() as scratch:
        yield from _connect(scratch)
    with Scratch() as scratch:
        yield from _udp_client(scratch)


def _connect(scratch: Scratch) -> Iterator[Entry]:
    yield Section("TCP client, step 1: s = socket(AF_INET, SOCK_STREAM)")
    sock = scratch.open("tcp")
    yield name(CLIENT, sock, UNBOUND)
    yield state(CLIENT, sock, "CLOSE")
    yield Section("TCP client, step 2: s.connect(address)")
    yield Step(LEFT_OUT, "send(b'hello')", result_of(scratch.open("tcp").send, b"hello"), expected="EPIPE")
    yield Step(LEFT_OUT, "recv(100)", result_of(scratch.open("tcp").recv, 100), expected="ENOTCONN")
    bound = scratch.open("tcp")
    bound.bind((scratch.host, 0))
    yield Step(
        LEFT_OUT,
        "the server's listen: connect",
        result_of(scratch.open("tcp").connect, bound.getsockname()),
        expected="ECONNREFUSED",
    )
    listener = scratch.bind(scratch.open("tcp"))
    # with a time limit Python connects without blocking, and a second connect would only complete the first
    sock.settimeout(None)
    yield Step(CLIENT, "connect", result_of(sock.connect, listener.getsockname()), expected="ok")
    local_address = str(sock.getsockname())
    yield Step(
        CLIENT,
        "getsockname",
        local_address,
        "connect chose address and port; a bind before it would have",
        expect(local_address, local_address not in {UNBOUND, str(listener.getsockname())}, "('127.0.0.1', PORT)"),
    )
    yield state(CLIENT, sock, "ESTABLISHED")
    yield Step(OTHER_ORDER, "a second connect", result_of(sock.connect, listener.getsockname()), expected="EISCONN")
    sock.settimeout(_TIMEOUT)
    connection = scratch.accept(listener)
    yield Step(SERVER, "accept: the peer", str(connection.getpeername()), expected=local_address)
    yield from _exchange(sock, connection)


def _exchange(sock: socket.socket, connection: socket.socket) -> Iterator[Entry]:
    yield Section("TCP client, then: s.sendall(b'hello'), s.shutdown(SHUT_WR)")
    connection.settimeout(_TIMEOUT)
    sock.sendall(b"hello")
    yield Step(SERVER, "recv(4096)", result_of(connection.recv, 4096), expected="b'hello'")
    yield Step(
        LEFT_OUT,
        "shutdown: the server's recv(4096)",
        result_of(connection.recv, 4096),
        "a server that reads to the end of file waits on",
        "nothing",
    )
    yield Step(CLIENT, "shutdown(SHUT_WR)", result_of(sock.shutdown, socket.SHUT_WR), expected="ok")
    yield Step(SERVER, "recv(4096)", result_of(connection.recv, 4096), expected="b''")
    half_closed = read_tcp_info(sock).state
    yield Step(
        CLIENT,
        "its state, by TCP_INFO",
        half_closed,
        "FIN_WAIT2 once the server's kernel has acknowledged that",
        expect(half_closed, half_closed.startswith("FIN_WAIT"), "FIN_WAIT1"),
    )
    yield Step(OTHER_ORDER, "send after shutdown", result_of(sock.send, b"x"), expected="EPIPE")
    connection.sendall(b"hello, I get it!")
    connection.close()
    yield Step(
        OTHER_ORDER,
        "recv(5), once: not all",
        result_of(sock.recv, 5),
        "a stream has no messages: read until b''",
        "b'hello'",
    )
    yield Step(
        CLIENT,
        "recv(4096), recv(4096)",
        " ".join(result_of(sock.recv, 4096) for _ in range(2)),
        expected="b', I get it!' b''",
    )


def _udp_client(scratch: Scratch) -> Iterator[Entry]:
    yield Section("UDP client, step 1: s = socket(AF_INET, SOCK_DGRAM)")
    sock = scratch.open("udp")
    sock.settimeout(_TIMEOUT)
    yield name(CLIENT, sock, UNBOUND)
    yield Section("UDP client, step 2: s.sendto(b'', address), s.recvfrom(2048)")
    server, other_server = (scratch.bind(scratch.open("udp")) for _ in range(2))
    yield Step(
        CLIENT,
        "sendto(b'', address)",
        result_of(sock.sendto, b"", server.getsockname()),
        "no byte, and a datagram all the same",
        "0",
    )
    local_address = str(sock.getsockname())
    yield Step(
        CLIENT,
        "getsockname",
        local_address,
        "sendto chose a port, on every address",
        expect(
            local_address, local_address.startswith("('0.0.0.0', ") and local_address != UNBOUND, "('0.0.0.0', PORT)"
        ),
    )
    datagram, address = server.recvfrom(2048)
    yield Step(SERVER, "recvfrom(2048)", str(datagram), expected="b''")
    other_server.sendto(b"forged", address)
    yield Step(
        LEFT_OUT,
        "connect: recvfrom(2048)",
        result_of(sock.recv, 2048),
        "of a socket that nobody asked: look at the address",
        "b'forged'",
    )
    yield from _connected_udp_client(scratch, server, other_server)


def _connected_udp_client(scratch: Scratch, server: socket.socket, other_server: socket.socket) -> Iterator[Entry]:
    yield Section("UDP client with s.connect(address) before it: nothing is sent by that")
    sock = scratch.connected_client(server)
    sock.settimeout(_TIMEOUT)
    sock.send(b"")
    other_server.sendto(b"forged", sock.getsockname())
    server.sendto(b"now", server.recvfrom(2048)[1])
    yield Step(CLIENT, "recv(2048)", result_of(sock.recv, 2048), "the stranger's was refused", "b'now'")
    server.close()
    sock.send(b"")
    yield Step(
        CLIENT,
        "send(b'') when the server is gone, recv(2048)",
        result_of(sock.recv, 2048),
        "told by ICMP; without connect it would wait for its time limit",
        "ECONNREFUSED",
    )
