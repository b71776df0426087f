"""Demonstrate the calls that set up a client, one at a time: what each changes, and what fails without it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from echotime.demos.script import (
    CLIENT,
    MISTAKE,
    SERVER,
    UNBOUND,
    Entry,
    Section,
    Step,
    attempt,
    expect,
    local_address,
    tcp_state,
)
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.tcp_info import read_tcp_info
from echotime.sockopt.values import N_

_TIMEOUT = 0.2


def client() -> Iterator[Entry]:
    """Show a TCP client (socket, connect, the exchange), then a UDP client."""
    with Scratch() as scratch:
        yield from _connect(scratch)
    with Scratch() as scratch:
        yield from _udp_client(scratch)


def _connect(scratch: Scratch) -> Iterator[Entry]:
    yield Section(N_("TCP client, step 1: s = socket(AF_INET, SOCK_STREAM)"))
    sock = scratch.open("tcp")
    yield local_address(CLIENT, sock, UNBOUND)
    yield tcp_state(CLIENT, sock, "CLOSE")
    yield Section(N_("TCP client, step 2: s.connect(address)"))
    unconnected = scratch.open("tcp")
    text = N_("without connect: send(b'hello')")
    yield attempt(MISTAKE, unconnected.send, b"hello", text=text, expected="EPIPE")
    text = N_("without connect: recv(100)")
    yield attempt(MISTAKE, unconnected.recv, 100, text=text, expected="ENOTCONN")
    bound = scratch.open("tcp")
    bound.bind((scratch.host, 0))
    text = N_("without the server's listen: connect")
    yield attempt(MISTAKE, unconnected.connect, bound.getsockname(), text=text, expected="ECONNREFUSED")
    listener = scratch.bind(scratch.open("tcp"))
    # with a timeout Python connects without blocking, and a second connect would only complete the first
    sock.settimeout(None)
    yield attempt(CLIENT, sock.connect, listener.getsockname(), text="connect", expected="ok")
    address = str(sock.getsockname())
    known = address not in {UNBOUND, str(listener.getsockname())}
    remark = N_("connect chose address and port, as there was no bind")
    yield local_address(CLIENT, sock, expect(address, known, "('127.0.0.1', PORT)"), remark)
    yield tcp_state(CLIENT, sock, "ESTABLISHED")
    text = N_("mistake: a second connect")
    yield attempt(MISTAKE, sock.connect, listener.getsockname(), text=text, expected="EISCONN")
    sock.settimeout(_TIMEOUT)
    connection = scratch.accept(listener)
    yield Step(SERVER, N_("accept: the peer"), str(connection.getpeername()), expected=address)
    yield from _exchange(sock, connection)


def _exchange(sock: socket.socket, connection: socket.socket) -> Iterator[Entry]:
    yield Section(N_("TCP client, then: s.sendall(b'hello'), s.shutdown(SHUT_WR)"))
    connection.settimeout(_TIMEOUT)
    sock.sendall(b"hello")
    yield attempt(SERVER, connection.recv, 4096, expected="b'hello'")
    text = N_("without shutdown: the server's recv(4096)")
    remark = N_("a server that reads to the end of file keeps waiting")
    yield attempt(MISTAKE, connection.recv, 4096, text=text, remark=remark, expected="nothing")
    yield attempt(CLIENT, sock.shutdown, socket.SHUT_WR, text="shutdown(SHUT_WR)", expected="ok")
    yield attempt(SERVER, connection.recv, 4096, expected="b''")
    state = read_tcp_info(sock).state
    remark = N_("FIN_WAIT2 as soon as the server's kernel has acknowledged the FIN")
    expected = expect(state, state.startswith("FIN_WAIT"), "FIN_WAIT1")
    yield Step(CLIENT, N_("the state, by TCP_INFO"), state, remark, expected)
    yield attempt(MISTAKE, sock.send, b"x", text=N_("mistake: send after shutdown"), expected="EPIPE")
    connection.sendall(b"hello, I get it!")
    connection.close()
    remark = N_("a stream has no message boundaries: read until b''")
    text = N_("mistake: recv(5), only once")
    yield attempt(MISTAKE, sock.recv, 5, text=text, remark=remark, expected="b'hello'")
    yield attempt(CLIENT, sock.recv, 4096, expected="b', I get it!'")
    yield attempt(CLIENT, sock.recv, 4096, expected="b''")


def _udp_client(scratch: Scratch) -> Iterator[Entry]:
    yield Section(N_("UDP client, step 1: s = socket(AF_INET, SOCK_DGRAM)"))
    sock = scratch.open("udp")
    sock.settimeout(_TIMEOUT)
    yield local_address(CLIENT, sock, UNBOUND)
    yield Section(N_("UDP client, step 2: s.sendto(b'', address), s.recvfrom(2048)"))
    server, stranger = (scratch.bind(scratch.open("udp")) for _number in range(2))
    text, remark = "sendto(b'', address)", N_("an empty datagram is sent, too")
    yield attempt(CLIENT, sock.sendto, b"", server.getsockname(), text=text, remark=remark, expected="0")
    address = str(sock.getsockname())
    known = address.startswith("('0.0.0.0', ") and address != UNBOUND
    remark = N_("sendto chose a port, on every address")
    yield local_address(CLIENT, sock, expect(address, known, "('0.0.0.0', PORT)"), remark)
    datagram, client_address = server.recvfrom(2048)
    yield Step(SERVER, "recvfrom(2048)", str(datagram), expected="b''")
    stranger.sendto(b"forged", client_address)
    text, remark = N_("without connect: recv(2048)"), N_("from another socket: check the source address")
    yield attempt(MISTAKE, sock.recv, 2048, text=text, remark=remark, expected="b'forged'")
    yield from _connected_udp_client(scratch, server, stranger)


def _connected_udp_client(scratch: Scratch, server: socket.socket, stranger: socket.socket) -> Iterator[Entry]:
    yield Section(N_("UDP client with s.connect(address) first, which sends nothing"))
    sock = scratch.connected_client(server)
    sock.settimeout(_TIMEOUT)
    sock.send(b"")
    stranger.sendto(b"forged", sock.getsockname())
    server.sendto(b"now", server.recvfrom(2048)[1])
    remark = N_("the kernel dropped the datagram of the other socket")
    yield attempt(CLIENT, sock.recv, 2048, remark=remark, expected="b'now'")
    server.close()
    sock.send(b"")
    text = N_("send(b'') after the server has closed, recv(2048)")
    remark = N_("an ICMP error; without connect recv would time out")
    yield attempt(CLIENT, sock.recv, 2048, text=text, remark=remark, expected="ECONNREFUSED")
