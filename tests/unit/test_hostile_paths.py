"""Test tests/hostile: faulty paths have the faults that were requested, and forged packets are well formed."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.hostile.forging import checksum, syn_packet, udp_packet
from tests.hostile.responder import echo, responder
from tests.hostile.tcp_proxy import NONE, Fault, Then, tcp_proxy
from tests.hostile.timing import wait_until
from tests.hostile.udp_proxy import Faults, udp_proxy
from tests.support.twistd_process import LIMIT

Address = tuple[str, int]


@contextlib.contextmanager
def one_connection() -> Iterator[tuple[Address, list[socket.socket]]]:
    """Yield a listening address, and a list that will have the accepted connection."""
    accepted: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: accepted.append(listener.accept()[0]))
        thread.start()
        try:
            yield listener.getsockname(), accepted
        finally:
            thread.join(LIMIT)
            for each in accepted:
                each.close()


@contextlib.contextmanager
def ends(up: Fault = NONE, down: Fault = NONE) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield the client and the server at both ends of a path."""
    with (
        one_connection() as (address, accepted),
        tcp_proxy(address, up, down) as path,
        socket.create_connection(path.address, 10) as client,
    ):
        wait_until(lambda: bool(accepted))
        accepted[0].settimeout(LIMIT)
        yield client, accepted[0]


def test_tcp_without_faults() -> None:
    """Without faults bytes and both ends of file pass."""
    with ends() as (client, server):
        client.sendall(b"hello")
        assert server.recv(100) == b"hello"
        client.shutdown(socket.SHUT_WR)
        assert server.recv(100) == b""
        server.sendall(b"bye")
        server.close()
        assert client.recv(100) == b"bye"
        assert client.recv(100) == b""


def test_tcp_both_ways_at_once() -> None:
    """More bytes than all buffers hold pass in both directions at the same time."""
    size = 20_000_000
    with ends() as (client, server):
        senders = [threading.Thread(target=each.sendall, args=(bytes(size),)) for each in (client, server)]
        for sender in senders:
            sender.start()
        came = dict.fromkeys((client, server), 0)
        while min(came.values()) < size:
            for sock in select.select([client, server], [], [], 10)[0]:
                came[sock] += len(sock.recv(1 << 20))
        for sender in senders:
            sender.join()
        assert set(came.values()) == {size}


def test_tcp_segments() -> None:
    """With a segment size data arrives in pieces."""
    with ends(up=Fault(segment=2, delay=0.05)) as (client, server):
        client.sendall(b"12345")
        assert [server.recv(100) for _ in range(3)] == [b"12", b"34", b"5"]


def test_tcp_stall() -> None:
    """After a stall nothing more arrives in that direction, and nothing ends."""
    with ends(up=Fault(after=3)) as (client, server):
        client.sendall(b"12345")
        assert server.recv(100) == b"123"
        assert not select.select([server, client], [], [], 0.1)[0]
        server.sendall(b"other way")
        assert client.recv(100) == b"other way"


@pytest.mark.parametrize("up", [True, False])
def test_tcp_reset(up: bool) -> None:
    """A reset reaches both ends, in whichever direction the bytes went."""
    fault = Fault(after=3, then=Then.RESET)
    with ends(**{"up" if up else "down": fault}) as (client, server):
        sender, receiver = (client, server) if up else (server, client)
        sender.sendall(b"12345")
        assert receiver.recv(100) == b"123"
        for each in (client, server):
            with pytest.raises(ConnectionResetError):
                each.recv(100)


def test_tcp_close() -> None:
    """A close gives both ends an end of file."""
    with ends(up=Fault(after=5, then=Then.CLOSE)) as (client, server):
        client.sendall(b"12345")
        assert server.recv(100) == b"12345"
        assert server.recv(100) == b""
        assert client.recv(100) == b""


def test_tcp_half_close() -> None:
    """A half-close ends one direction, and the other goes on."""
    with ends(down=Fault(after=3, then=Then.HALF_CLOSE)) as (client, server):
        server.sendall(b"12345")
        assert client.recv(100) == b"123"
        assert client.recv(100) == b""
        client.sendall(b"still")
        assert server.recv(100) == b"still"


def heard(address: Address, number: int) -> list[bytes]:
    """Send so many datagrams and return the answers in order, until no more come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        for each in range(number):
            sock.send(b"%d" % each)
        answers = []
        while select.select([sock], [], [], 0.3)[0]:
            answers.append(sock.recv(100))
        return answers


def test_udp_faults() -> None:
    """Datagrams are lost, doubled and reordered as requested, and counted."""
    sent = [b"%d" % each for each in range(50)]
    with responder(echo) as service:
        with udp_proxy(service, Faults()) as path:
            assert heard(path.address, 50) == sent
        with udp_proxy(service, Faults(drop=0.5)) as path:
            answers = heard(path.address, 50)
            assert len(answers) == 50 - path.lost
            assert 0 < len(answers) < 50
        with udp_proxy(service, Faults(duplicate=1.0)) as path:
            assert sorted(heard(path.address, 50)) == sorted(4 * sent)
            assert path.doubled == 150
        with udp_proxy(service, Faults(reorder=0.5)) as path:
            answers = heard(path.address, 50)
            assert sorted(answers) == sorted(sent)
            assert answers != sent


def test_udp_delay() -> None:
    """The delay applies in both directions."""
    with responder(echo) as service, udp_proxy(service, Faults(delay=0.05)) as path:
        began = time.monotonic()
        assert heard(path.address, 1) == [b"0"]
        assert time.monotonic() - began > 0.1


def test_forged_packets() -> None:
    """Forged packets have the right addresses, ports, lengths and checksums."""
    packet = udp_packet(("10.0.0.1", 7), ("10.0.0.2", 9), b"abc")
    assert (
        packet[:2] + packet[8:10] + packet[12:]
        == bytes.fromhex("4500 4011 0a000001 0a000002 0007 0009 000b 0000") + b"abc"
    )
    segment = syn_packet(("10.0.0.1", 7), ("10.0.0.2", 9), 1)[20:]
    assert segment[12:14] == b"\x50\x02"
    assert checksum(bytes.fromhex("0a000001 0a000002 0006 0014") + segment) == 0
