"""A listener in a network that is not this process', its clients, and questions to it from there."""

from __future__ import annotations

import socket
from typing import NamedTuple

from echotime.ports.own_address import ways_to
from tests.unit.namespace import in_namespace

LIMIT = 10


class Pair(NamedTuple):
    """A connection: the client's end, and the server's."""

    client: socket.socket
    server: socket.socket


class Network:
    """A listener in a network that is not this process', and its clients."""

    def __init__(self, host: str) -> None:
        self.host = host.partition("%")[0]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.open: list[socket.socket] = []

        def made() -> tuple[list[socket.socket], int]:
            listener = socket.socket(family)
            if host == "::":
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(socket.getaddrinfo(host, 0, family, socket.SOCK_STREAM)[0][4])
            listener.listen()
            # one more of each family, for clients
            clients = [socket.socket(each) for each in (socket.AF_INET, socket.AF_INET6) * 3]
            return [listener, *clients], socket.if_nametoindex("here")

        (self.listener, *self.clients), self.interface = in_namespace(made)
        self.open += [self.listener, *self.clients]
        self.listener.settimeout(LIMIT)

    def connected(self, host: str = "") -> Pair:
        """A client that has reached it, by one of its addresses."""
        _, number, *more = self.listener.getsockname()
        host = host or ways_to(self.listener)[0][0]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = next(each for each in self.clients if each.family == family)
        self.clients.remove(client)
        client.settimeout(LIMIT)
        client.connect((host, number, *(more if family == socket.AF_INET6 else ())))
        server, _ = self.listener.accept()
        self.open.append(server)
        return Pair(client, server)

    def over(self, host: str = "") -> socket.socket:
        """The server's end of one at whose end nobody waits for anything."""
        client, server = self.connected(host)
        client.close()
        assert server.recv(1) == b""
        return server


def asks(net: Network, sock: socket.socket) -> bytes:
    """What comes of a question, whose answer is what was sent, and where it came from."""
    sock.setblocking(True)
    host, _, *more = sock.getsockname()
    sock.connect((host, net.listener.getsockname()[1], *more))
    sock.sendall(b"question")
    sock.shutdown(socket.SHUT_WR)
    server, peer = net.listener.accept()
    assert peer == sock.getsockname()
    with server:
        server.sendall(server.recv(100))
    return sock.recv(100) + sock.recv(100)
