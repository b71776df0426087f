"""ports/spare.py and vantage.py: what a connection leaves is a new socket, and its client knows nothing of it."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from echotime.ports.spare import Spare
from echotime.ports.vantage import NoVantage, has_network_of, network, vantage
from tests.unit.other_network import LIMIT, Network, asks
from tests.unit.stepping import reset


@pytest.fixture
def net(request: pytest.FixtureRequest) -> Iterator[Network]:
    """One, on 10.9.0.1 unless the test names another address."""
    made = Network(getattr(request, "param", "10.9.0.1"))
    yield made
    for each in made.open:
        each.close()


@pytest.fixture
def clock() -> Clock:
    """What the spare goes by."""
    return Clock()


@pytest.fixture
def spare(net: Network, clock: Clock) -> Iterator[Spare]:
    """Of that listener, none yet."""
    made = Spare(net.listener, clock.seconds)
    yield made
    made.close()


@pytest.mark.parametrize("net", ["0.0.0.0", "::", "10.9.0.1", "fd09::1", "fe80::1%here"], indirect=True)
def test_asked_over(net: Network, spare: Spare) -> None:
    """What a connection has left reaches the listener that accepted it, from its network, again and again."""
    assert not has_network_of(net.listener)
    assert spare.take(net.over())
    for _ in range(3):
        with vantage(net.listener, spare) as sock:
            assert not sock.getblocking()
            assert network(sock) == network(net.listener)
            assert asks(net, sock) == b"question"


@pytest.mark.parametrize("net", ["::"], indirect=True)
def test_ipv4_on_ipv6(net: Network, spare: Spare) -> None:
    """One of a client that came by IPv4 asks by IPv4."""
    assert spare.take(net.over("127.0.0.1"))
    for _ in range(2):
        with vantage(net.listener, spare) as sock:
            assert sock.getsockname()[0] == "::ffff:127.0.0.1"
            assert asks(net, sock) == b"question"


def test_new_ones(net: Network) -> None:
    """Where the daemon has the listener's network a new socket does; there it needs no spare, and keeps none."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.7", 0))
        listener.listen()
        assert has_network_of(listener)
        with vantage(listener) as sock:
            assert sock.getsockname()[0] == "127.0.0.7"
            sock.setblocking(True)
            sock.connect(listener.getsockname())


def test_none_yet(net: Network, spare: Spare) -> None:
    """Before a connection has ended there is none to ask over."""
    with pytest.raises(NoVantage, match="no connection has ended yet that it could be asked over"):
        vantage(net.listener, spare)


def test_address_is_gone(net: Network, spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that the host has no more cannot be asked; the reason is the kernel's."""
    spare.take(net.over())
    monkeypatch.setattr("echotime.ports.vantage.ways_to", lambda listener: [("10.9.0.7", 1)])
    with pytest.raises(NoVantage, match="Cannot assign requested address"):
        vantage(net.listener, spare)
    monkeypatch.undo()
    # that address might be another one's by now: the next connection does
    with pytest.raises(NoVantage):
        vantage(net.listener, spare)
    assert spare.take(net.over())
    with vantage(net.listener, spare) as sock:
        assert asks(net, sock) == b"question"


def test_client_gets_all(net: Network, spare: Spare) -> None:
    """Until the client has taken what it is owed its connection is left alone."""
    net.clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client, server = net.connected()
    client.shutdown(socket.SHUT_WR)
    owed = b"x" * 100_000
    server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(owed))
    server.sendall(owed)
    assert (server.recv(1), spare.take(server)) == (b"", True)
    with pytest.raises(NoVantage):
        vantage(net.listener, spare)
    assert b"".join(iter(lambda: client.recv(65536), b"")) == owed
    with vantage(net.listener, spare) as sock:
        assert asks(net, sock) == b"question"


def test_client_that_takes_nothing(net: Network, spare: Spare, clock: Clock) -> None:
    """After a while one that ends later takes the place of one whose client does not take what it is owed."""
    net.clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client, server = net.connected()
    client.shutdown(socket.SHUT_WR)
    server.sendall(b"x" * 20_000)
    assert (server.recv(1), spare.take(server)) == (b"", True)
    later = net.over()
    # under load there is always a later one, which is not over yet either
    assert not spare.take(later)
    clock.advance(10)
    assert spare.take(later)
    assert server.fileno() == -1
    with vantage(net.listener, spare) as sock:
        assert asks(net, sock) == b"question"
    assert len(b"".join(iter(lambda: client.recv(65536), b""))) == 20_000


def test_refused(net: Network, spare: Spare) -> None:
    """One that was refused is kept though its client may send on: that learns by a reset that nobody reads it."""
    client, server = net.connected()
    assert spare.take(server, refused=True)
    assert client.recv(1) == b""
    with pytest.raises(NoVantage):
        vantage(net.listener, spare)
    client.sendall(b"x")
    with pytest.raises(BrokenPipeError):
        client.sendall(b"x")
    with vantage(net.listener, spare) as sock:
        assert asks(net, sock) == b"question"


def test_refused_and_unread(net: Network, spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has sent something by then is not kept, whether before or after it is shut down."""
    client, server = net.connected()
    client.sendall(b"x")
    assert server.recv(1, socket.MSG_PEEK) == b"x"
    assert not spare.take(server, refused=True)
    read = iter([True, False])
    monkeypatch.setattr("echotime.ports.spare._all_read", lambda sock: next(read))
    assert not spare.take(server, refused=True)
    monkeypatch.undo()
    with pytest.raises(NoVantage):
        vantage(net.listener, spare)
    server.close()


@pytest.mark.parametrize("more", [b"", b"more"])
def test_urgent(net: Network, spare: Spare, more: bytes) -> None:
    """A byte that is urgent is one that was not read, and hides none behind it."""
    client, server = net.connected()
    client.send(b"x", socket.MSG_OOB)
    client.sendall(more)
    client.shutdown(socket.SHUT_WR)
    assert not spare.take(server, refused=True)
    server.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_linger(net: Network, spare: Spare) -> None:
    """One whose close would be a reset is not kept."""
    server = net.over()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert not spare.take(server)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 5))
    assert spare.take(server)


@pytest.mark.parametrize("net", ["::"], indirect=True)
def test_link_local_client(net: Network, spare: Spare) -> None:
    """Its connection is bound to the link, and so of no use; that of another client is."""
    client = next(each for each in net.clients if each.family == socket.AF_INET6)
    client.settimeout(LIMIT)
    net.clients.remove(client)
    client.connect(("fe80::1", net.listener.getsockname()[1], 0, net.interface))
    server, _ = net.listener.accept()
    net.open.append(server)
    client.close()
    assert server.recv(1) == b""
    assert not spare.take(server)
    assert spare.take(net.over())


def test_port_only_when_connected(net: Network, spare: Spare) -> None:
    """An option that has bind choose no port (IP_BIND_ADDRESS_NO_PORT) is not handed down to a question."""
    net.listener.setsockopt(socket.IPPROTO_IP, 24, 1)
    assert spare.take(net.over())
    with vantage(net.listener, spare) as sock:
        assert sock.getsockname()[1]


def test_no_route_for_a_moment(net: Network, spare: Spare) -> None:
    """One whose connection could not even be begun, and so keeps its port, serves the next question as well."""
    assert spare.take(net.over())
    vantage(net.listener, spare).close()
    with vantage(net.listener, spare) as sock:
        assert asks(net, sock) == b"question"


def test_client_may_send(net: Network, spare: Spare) -> None:
    """One whose client has not ended its side is not kept, nor one of which something was not read."""
    client, server = net.connected()
    assert not spare.take(server)
    client.sendall(b"x")
    client.shutdown(socket.SHUT_WR)
    assert server.recv(2, socket.MSG_PEEK) == b"x"
    assert not spare.take(server)
    server.close()
    with pytest.raises(ConnectionResetError):
        client.recv(1)


def test_reset(net: Network, spare: Spare) -> None:
    """One that the client has reset is not kept either: it may not have had all."""
    client, server = net.connected()
    reset(client)
    with pytest.raises(ConnectionResetError):
        server.recv(1)
    assert not spare.take(server)


def test_reset_at_this_moment(net: Network, spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same if it happens between two looks."""
    server = net.over()

    def reset_by_now(sock: socket.socket, how: int) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr("socket.socket.shutdown", reset_by_now)
    assert not spare.take(server)
    monkeypatch.undo()
    assert spare.take(server)


def test_one_is_enough(net: Network, spare: Spare) -> None:
    """Further ones are not kept, used or not."""
    assert spare.take(net.over())
    assert not spare.take(net.over())
    with vantage(net.listener, spare) as sock:
        asks(net, sock)
    assert not spare.wanted
    assert not spare.take(net.over())


def test_question_given_up(net: Network, spare: Spare) -> None:
    """A question that is given up in the midst ends by a reset when the next one is asked, with no trace of it."""
    spare.take(net.over())
    with vantage(net.listener, spare) as sock:
        sock.setblocking(True)
        sock.connect((sock.getsockname()[0], net.listener.getsockname()[1]))
        sock.sendall(b"question")
    given_up, _ = net.listener.accept()
    with given_up, vantage(net.listener, spare) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert asks(net, sock) == b"question"
        assert given_up.recv(100) == b"question"
        with pytest.raises(ConnectionResetError):
            given_up.recv(1)


def test_route_of_the_client(net: Network, spare: Spare) -> None:
    """IP options that a client has chosen for its connection are not those of our questions."""
    record_route = bytes([7, 7, 4, 0, 0, 0, 0, 0])
    net.clients[0].setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, record_route)
    server = net.over()
    assert server.getsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, 40)
    spare.take(server)
    with vantage(net.listener, spare) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, 40) == b""


def test_no_descriptor(net: Network, spare: Spare, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none is left, that is why."""
    spare.take(net.over())

    def none(sock: socket.socket) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("socket.socket.dup", none)
    with pytest.raises(NoVantage, match="Too many open files"):
        vantage(net.listener, spare)


def test_close(net: Network, spare: Spare) -> None:
    """Nothing is kept open."""
    server = net.over()
    spare.take(server)
    spare.close()
    assert server.fileno() == -1
