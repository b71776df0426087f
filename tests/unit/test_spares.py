"""ports/spares.py and vantage.py: what a connection leaves is a new socket, and its client knows nothing of it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from echotime.ports.own_address import ways_to
from echotime.ports.spares import Spares, network
from echotime.ports.vantage import NoVantage, has_network_of, vantage
from tests.unit.namespace import in_namespace
from tests.unit.stepping import reset

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

        def made() -> list[socket.socket]:
            listener = socket.socket(family)
            if host == "::":
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(socket.getaddrinfo(host, 0, family, socket.SOCK_STREAM)[0][4])
            listener.listen()
            # one more of each family, for clients
            return [listener, *(socket.socket(each) for each in (socket.AF_INET, socket.AF_INET6) * 3)]

        self.listener, *self.clients = in_namespace(made)
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


@pytest.fixture
def spares() -> Iterator[Spares]:
    """Some."""
    made = Spares()
    yield made
    made.close()


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Network]:
    """One, on 10.9.0.1 unless the test names another address."""
    made = Network(getattr(request, "param", "10.9.0.1"))
    yield made
    for each in made.open:
        each.close()


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


@pytest.mark.parametrize("net", ["0.0.0.0", "::", "10.9.0.1", "fd09::1", "fe80::1%here"], indirect=True)
def test_asked_over(net: Network, spares: Spares) -> None:
    """What a connection has left reaches the listener that accepted it, from its network, again and again."""
    assert not has_network_of(net.listener)
    assert spares.take(net.over())
    for _ in range(3):
        with vantage(net.listener, spares) as sock:
            assert not sock.getblocking()
            assert network(sock) == network(net.listener)
            assert asks(net, sock) == b"question"


@pytest.mark.parametrize("net", ["::"], indirect=True)
def test_ipv4_on_ipv6(net: Network, spares: Spares) -> None:
    """One of a client that came by IPv4 asks by IPv4."""
    assert spares.take(net.over("127.0.0.1"))
    for _ in range(2):
        with vantage(net.listener, spares) as sock:
            assert sock.getsockname()[0] == "::ffff:127.0.0.1"
            assert asks(net, sock) == b"question"


def test_new_ones(net: Network) -> None:
    """Where the daemon has the listener's network a new socket does; there it needs no spares, and keeps none."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.7", 0))
        listener.listen()
        assert has_network_of(listener)
        with vantage(listener) as sock:
            assert sock.getsockname()[0] == "127.0.0.7"
            sock.setblocking(True)
            sock.connect(listener.getsockname())


def test_none_yet(net: Network, spares: Spares) -> None:
    """Before a connection has ended there is none to ask over."""
    with pytest.raises(NoVantage, match="no connection has ended yet that it could be asked over"):
        vantage(net.listener, spares)


def test_address_is_gone(net: Network, spares: Spares, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that the host has no more cannot be asked; the reason is the kernel's."""
    spares.take(net.over())
    monkeypatch.setattr("echotime.ports.vantage.ways_to", lambda listener: [("10.9.0.7", 1)])
    with pytest.raises(NoVantage, match="Cannot assign requested address"):
        vantage(net.listener, spares)


def test_client_gets_all(net: Network, spares: Spares) -> None:
    """Until the client has taken what it is owed its connection is left alone."""
    net.clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client, server = net.connected()
    client.shutdown(socket.SHUT_WR)
    owed = b"x" * 100_000
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(owed))
    server.sendall(owed)
    assert (server.recv(1), spares.take(server)) == (b"", True)
    with pytest.raises(NoVantage):
        vantage(net.listener, spares)
    assert b"".join(iter(lambda: client.recv(65536), b"")) == owed
    with vantage(net.listener, spares) as sock:
        assert asks(net, sock) == b"question"


def test_client_that_takes_nothing(net: Network, spares: Spares) -> None:
    """The next one that ends takes the place of one whose client does not take what it is owed."""
    net.clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client, server = net.connected()
    client.shutdown(socket.SHUT_WR)
    server.sendall(b"x" * 20_000)
    assert (server.recv(1), spares.take(server)) == (b"", True)
    assert spares.take(net.over())
    assert server.fileno() == -1
    with vantage(net.listener, spares) as sock:
        assert asks(net, sock) == b"question"
    assert len(b"".join(iter(lambda: client.recv(65536), b""))) == 20_000


def test_refused(net: Network, spares: Spares) -> None:
    """One that was refused is kept though its client may send on: that learns by a reset that nobody reads it."""
    client, server = net.connected()
    assert spares.take(server, refused=True)
    assert client.recv(1) == b""
    with pytest.raises(NoVantage):
        vantage(net.listener, spares)
    client.sendall(b"x")
    with pytest.raises(BrokenPipeError):
        client.sendall(b"x")
    with vantage(net.listener, spares) as sock:
        assert asks(net, sock) == b"question"


def test_refused_and_unread(net: Network, spares: Spares, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has sent something by then is not kept, whether before or after it is shut down."""
    client, server = net.connected()
    client.sendall(b"x")
    assert server.recv(1, socket.MSG_PEEK) == b"x"
    assert not spares.take(server, refused=True)
    amounts = iter([0, 1])
    monkeypatch.setattr("echotime.ports.spares._unread", lambda sock: next(amounts))
    assert not spares.take(server, refused=True)
    monkeypatch.undo()
    with pytest.raises(NoVantage):
        vantage(net.listener, spares)
    server.close()


def test_client_may_send(net: Network, spares: Spares) -> None:
    """One whose client has not ended its side is not kept, nor one of which something was not read."""
    client, server = net.connected()
    assert not spares.take(server)
    client.sendall(b"x")
    client.shutdown(socket.SHUT_WR)
    assert server.recv(2, socket.MSG_PEEK) == b"x"
    assert not spares.take(server)
    server.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_reset(net: Network, spares: Spares) -> None:
    """One that the client has reset is not kept either: it may not have had all."""
    client, server = net.connected()
    reset(client)
    with pytest.raises(ConnectionResetError):
        server.recv(1)
    assert not spares.take(server)


def test_reset_at_this_moment(net: Network, spares: Spares, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same if it happens between two looks."""
    server = net.over()

    def reset_by_now(sock: socket.socket, how: int) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr("socket.socket.shutdown", reset_by_now)
    assert not spares.take(server)
    monkeypatch.undo()
    assert spares.take(server)


def test_one_is_enough(net: Network, spares: Spares) -> None:
    """Further ones are not kept, used or not."""
    assert spares.take(net.over())
    assert not spares.take(net.over())
    vantage(net.listener, spares).close()
    assert not spares.take(net.over())


def test_question_given_up(net: Network, spares: Spares) -> None:
    """A question that is given up in the midst ends by a reset when the next one is asked, with no trace of it."""
    spares.take(net.over())
    with vantage(net.listener, spares) as sock:
        sock.setblocking(True)
        sock.connect((sock.getsockname()[0], net.listener.getsockname()[1]))
        sock.sendall(b"question")
    given_up, _ = net.listener.accept()
    with given_up, vantage(net.listener, spares) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert asks(net, sock) == b"question"
        assert given_up.recv(100) == b"question"
        with pytest.raises(ConnectionResetError):
            given_up.recv(1)


def test_route_of_the_client(net: Network, spares: Spares) -> None:
    """IP options that a client has chosen for its connection are not those of our questions."""
    record_route = bytes([7, 7, 4, 0, 0, 0, 0, 0])
    net.clients[0].setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, record_route)
    server = net.over()
    assert server.getsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, 40)
    spares.take(server)
    with vantage(net.listener, spares) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, 40) == b""


def test_no_descriptor(net: Network, spares: Spares, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is left, that is why."""
    spares.take(net.over())

    def none(sock: socket.socket) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("socket.socket.dup", none)
    with pytest.raises(NoVantage, match="Too many open files"):
        vantage(net.listener, spares)


def test_close(net: Network, spares: Spares) -> None:
    """Nothing is kept open."""
    server = net.over()
    spares.take(server)
    spares.close()
    assert server.fileno() == -1
