"""Check every option that the kernel accepts without any effect (`Option.ignored_roles`)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from echotime.demos.script import result_of
from echotime.sockopt.apply import apply
from echotime.sockopt.assignment import parse
from echotime.sockopt.catalogue.index import BY_NAME, CATALOGUE
from echotime.sockopt.option import Option
from echotime.sockopt.scratch import Scratch
from tests.support.twistd_process import LIMIT

Experiment = Callable[[Scratch, Option, bool], object]
"""Return an observation with the option set or not; it must be the same."""


def control_messages(scratch: Scratch, option: Option, is_set: bool) -> object:
    """Return the kinds of control messages received on a connection."""
    client, connection = scratch.connection_pair()
    if is_set:
        apply(connection, [parse(f"{option.name}=on")])
    client.send(b"more")
    return [(level, kind) for level, kind, _ in connection.recvmsg(100, 500)[1]]


def multicast(scratch: Scratch, option: Option, is_set: bool) -> object:
    """Return the result of connecting to a group."""
    sock = scratch.open("tcp")
    if is_set:
        apply(sock, [parse(f"{option.name}=off")])
    return result_of(sock.connect, ("239.1.2.3" if scratch.family == socket.AF_INET else "ff02::1234", 9))


def large(scratch: Scratch, option: Option, is_set: bool) -> object:
    """Return 0 if more bytes than any MTU pass through a connection."""
    client, connection = scratch.connection_pair()
    if is_set:
        apply(client, [parse(f"{option.name}=on")])
    client.sendall(bytes(200_000))
    left = 200_001  # connection_pair() has sent one byte
    while left:
        left -= len(connection.recv(left))
    return left


def broadcast(scratch: Scratch, option: Option, is_set: bool) -> object:
    """Return the result of connecting to a broadcast address."""
    sock = scratch.open("tcp")
    if is_set:
        apply(sock, [parse("SO_BROADCAST=on")])
    return result_of(sock.connect, ("127.255.255.255", 9))


def hops(scratch: Scratch, option: Option, is_set: bool) -> object:
    """Return the datagram received with a lower TTL than required."""
    server = scratch.open("udp")
    if is_set:
        apply(server, [parse(f"{option.name}=255")])
    client = scratch.connected_client(scratch.bind(server))
    client.send(b"hello")
    return result_of(server.recv, 100)


def low_water(scratch: Scratch, option: Option, is_set: bool) -> object:
    """Return the short datagram that is received at once."""
    server = scratch.open("udp")
    if is_set:
        apply(server, [parse("SO_RCVLOWAT=100")])
    scratch.connected_client(scratch.bind(server)).send(b"hello")
    server.setblocking(False)
    return result_of(server.recv, 100)


def lingering(scratch: Scratch, option: Option, is_set: bool) -> object:
    """Return if close was fast, and what was received."""
    server = scratch.bind(scratch.open("udp"))
    client = scratch.connected_client(server)
    if is_set:
        apply(client, [parse("SO_LINGER=5")])
    client.send(b"hello")
    started_at = time.monotonic()
    client.close()
    return time.monotonic() - started_at < LIMIT, server.recv(100)


def urgent(scratch: Scratch, option: Option, is_set: bool) -> object:
    """Return the result of sending an urgent byte."""
    client = scratch.connected_client(scratch.bind(scratch.open("udp")))
    if is_set:
        apply(client, [parse("SO_OOBINLINE=on")])
    return result_of(client.send, b"x", socket.MSG_OOB)


def timers(scratch: Scratch, option: Option, is_set: bool) -> object:
    """Return the timer of a connected UDP socket from /proc/net/udp; 00 for none."""
    client = scratch.connected_client(scratch.bind(scratch.open("udp")))
    if is_set:
        apply(client, [parse("SO_KEEPALIVE=on")])
    inode = str(Path(f"/proc/self/fd/{client.fileno()}").readlink()).strip("socket:[]")
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()
    return [line.split()[5] for line in lines if inode in line.split()]


EXPERIMENTS: dict[tuple[str, str], Experiment] = {
    **{
        (name, "tcp"): control_messages
        for name in (
            *("IP_PKTINFO", "IPV6_RECVPKTINFO", "IP_RECVTTL", "IPV6_RECVHOPLIMIT"),
            *("IP_RECVTOS", "IPV6_RECVTCLASS", "SO_RXQ_OVFL"),
        )
    },
    **{(name, "tcp"): multicast for name in ("IP_MULTICAST_ALL", "IP_MULTICAST_LOOP", "IPV6_MULTICAST_LOOP")},
    ("SO_BROADCAST", "tcp"): broadcast,
    ("IPV6_DONTFRAG", "tcp"): large,
    ("IP_MINTTL", "udp"): hops,
    ("IPV6_MINHOPCOUNT", "udp"): hops,
    ("SO_RCVLOWAT", "udp"): low_water,
    ("SO_LINGER", "udp"): lingering,
    ("SO_OOBINLINE", "udp"): urgent,
    ("SO_KEEPALIVE", "udp"): timers,
}


def test_every_claim_has_its_experiment() -> None:
    """Every ignored option has an experiment, and every experiment an ignored option."""
    claims = {(option.name, role.transport) for option in CATALOGUE for role in option.ignored_roles}
    assert claims == set(EXPERIMENTS)


@pytest.mark.parametrize("claim", EXPERIMENTS, ids="-".join)
def test_no_effect(claim: tuple[str, str]) -> None:
    """The observation is the same with the option and without it."""
    option = BY_NAME[claim[0]]
    observed = []
    for is_set in (False, True):
        with Scratch(min(option.ip_versions)) as scratch:
            observed.append(EXPERIMENTS[claim](scratch, option, is_set))
    assert observed[0] == observed[1]
    assert observed[0] not in (None, [None])


DELIVERED = {
    "IP_PKTINFO": (0, 8),
    "IPV6_RECVPKTINFO": (41, 50),
    "IP_RECVTTL": (0, 2),
    "IPV6_RECVHOPLIMIT": (41, 52),
    "IP_RECVTOS": (0, 1),
    "IPV6_RECVTCLASS": (41, 67),
    "SO_TIMESTAMP": (1, 29),
    "SO_TIMESTAMPNS": (1, 35),
}


@pytest.mark.parametrize("name", DELIVERED)
def test_delivered(name: str) -> None:
    """On UDP the options deliver control messages, so the experiment above could detect them."""
    option = BY_NAME[name]
    with Scratch(min(option.ip_versions)) as scratch:
        server = scratch.open("udp")
        apply(server, [parse(f"{name}=on")])
        scratch.connected_client(scratch.bind(server)).send(b"x")
        assert [(level, kind) for level, kind, _ in server.recvmsg(100, 500)[1]] == [DELIVERED[name]]


def test_drops_are_counted() -> None:
    """SO_RXQ_OVFL reports drops with the next datagram."""
    with Scratch() as scratch:
        server = scratch.open("udp")
        apply(server, [parse("SO_RXQ_OVFL=on"), parse("SO_RCVBUF=4096")])
        client = scratch.connected_client(scratch.bind(server))
        for _ in range(100):
            client.send(b"x")
        server.setblocking(False)
        for _ in range(100):
            result_of(server.recv, 1)
        client.send(b"x")
        ((level, kind, dropped),) = server.recvmsg(100, 500)[1]
        assert (level, kind) == (1, 40)
        assert int.from_bytes(dropped, "little") > 50


def test_timestamps_switch_each_other_off() -> None:
    """The last of SO_TIMESTAMP and SO_TIMESTAMPNS turns the other off."""
    with Scratch() as scratch:
        server = scratch.open("udp")
        apply(server, [parse("SO_TIMESTAMP=on"), parse("SO_TIMESTAMPNS=on")])
        assert [server.getsockopt(1, BY_NAME[name].number) for name in ("SO_TIMESTAMP", "SO_TIMESTAMPNS")] == [0, 1]


def test_timeouts_of_nonblocking_sockets() -> None:
    """SO_RCVTIMEO has no effect on a nonblocking socket."""
    with Scratch() as scratch:
        server = scratch.bind(scratch.open("udp"))
        server.setblocking(False)
        apply(server, [parse("SO_RCVTIMEO=600s")])
        started_at = time.monotonic()
        assert result_of(server.recv, 1) == "nothing"
        assert time.monotonic() - started_at < LIMIT


def test_segment_size_of_a_connection() -> None:
    """TCP_MAXSEG is accepted on an established connection, but has no effect."""
    row = BY_NAME["TCP_MAXSEG"]
    with Scratch() as scratch:
        connection = scratch.connection_pair()[1]
        before = connection.getsockopt(row.level_number, row.number)
        apply(connection, [parse("TCP_MAXSEG=500")])
        assert connection.getsockopt(row.level_number, row.number) == before


@pytest.mark.parametrize("name", ["IP_FREEBIND", "IPV6_FREEBIND"])
def test_free_bind(name: str) -> None:
    """With IP_FREEBIND any address can be bound; without it, only addresses of this host."""
    option = BY_NAME[name]
    address = ("192.0.2.77", 0) if option.ip_versions == (4, 6) else ("2001:db8::77", 0)
    with Scratch(min(option.ip_versions)) as scratch:
        assert result_of(scratch.open("udp").bind, address) == "EADDRNOTAVAIL"
        free = scratch.open("udp")
        apply(free, [parse(f"{name}=on")])
        assert result_of(free.bind, address) == "ok"


def test_v6only_after_bind() -> None:
    """IPV6_V6ONLY is refused after bind, as its row says."""
    with Scratch(6) as scratch:
        sock = scratch.bind(scratch.open("udp"))
        assert result_of(sock.setsockopt, socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1) == "EINVAL"
