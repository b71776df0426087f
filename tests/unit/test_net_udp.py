"""net/udp.py, udp_port.py and pktinfo.py with real sockets on loopback, the same for each kind of port."""

from __future__ import annotations

import select
import socket

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from echotime.daemon.ports.listener_service import UDPListenerService
from echotime.net.owned import SocketShutDown
from echotime.net.pktinfo import SourceAddress
from echotime.sockopt import meminfo
from echotime.wire.hostport import HostPort
from tests.hostile.forging import port_unreachable
from tests.support.loopback import SERVED, Served, Started, bound, get, options
from tests.support.plain_clients import ask_time
from tests.support.twistd_process import LIMIT
from tests.support.udp_ports import listening


@pytest.fixture(params=[*SERVED.values()], ids=[*SERVED])
def served(request: pytest.FixtureRequest) -> Served:
    """Provide each kind of UDP port."""
    kind: Served = request.param
    return kind


@pytest_twisted.ensureDeferred
async def test_udp_defaults(started: Started, served: Served) -> None:
    """SO_REUSEADDR is off; IP_PKTINFO or IPV6_RECVPKTINFO is on for wildcard addresses only."""
    any4, any6, one = (started(served.on(host)) for host in ("0.0.0.0", "::", "127.0.0.1"))
    assert [get(port.socket, "SO_REUSEADDR") for port in (any4, any6, one)] == [0, 0, 0]
    assert get(any4.socket, "IP_PKTINFO") == 1
    assert get(any6.socket, "IPV6_RECVPKTINFO") == 1
    assert get(one.socket, "IP_PKTINFO") == 0


WILDCARDS = [("127.0.0.1", "0.0.0.0"), ("127.0.0.1", "::"), ("::1", "::"), ("0.0.0.0", "::")]
"""Addresses that share a port number only if both sockets have SO_REUSEADDR."""
SHARED = [(host, host) for host in ("127.0.0.1", "::1")] + WILDCARDS + [(wide, narrow) for narrow, wide in WILDCARDS]


@pytest.mark.parametrize(("other", "ours"), SHARED)
def test_udp_port_of_another_socket(served: Served, other: str, ours: str) -> None:
    """A port that another socket bound with SO_REUSEADDR is refused, unless it was requested for ours."""
    number = number_free_everywhere()
    with reusing(other, number):
        with pytest.raises(CannotListenError):
            served.on(ours, number).startListening()
        with listening(served, ours, "SO_REUSEADDR=on", number=number) as port:
            assert get(port.socket, "SO_REUSEADDR") == 1


@pytest.mark.parametrize(("ours", "other"), SHARED)
def test_udp_port_is_not_shared(served: Served, ours: str, other: str) -> None:
    """Another socket cannot bind our port with SO_REUSEADDR, unless it was requested for ours, too."""
    with listening(served, ours) as port, pytest.raises(OSError, match="in use"):
        reusing(other, port.getHost().port)
    with listening(served, ours, "SO_REUSEADDR=on", number=number_free_everywhere()) as port:
        reusing(other, port.getHost().port).close()


def number_free_everywhere() -> int:
    """Return a port number that no UDP socket has, of IPv4 or IPv6, such as those of tests in other processes."""
    with reusing("::") as sock:
        number: int = sock.getsockname()[1]
        return number


def reusing(host: str, number: int = 0) -> socket.socket:
    """Return a UDP socket bound with SO_REUSEADDR; on ``::`` it is a dual-stack socket."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, number))
    except OSError:
        sock.close()
        raise
    return sock


@pytest_twisted.ensureDeferred
async def test_answers_leave_from_the_destination(started: Started, served: Served) -> None:
    """On wildcard addresses, IPv4 and dual-stack, a connected client receives a reply from its destination."""
    for host, destination in (("0.0.0.0", "127.0.0.3"), ("::", "127.0.0.3"), ("::", "::1"), ("127.0.0.1", "127.0.0.1")):
        port = started(served.on(host))
        assert await deferToThread(ask_time, (destination, port.getHost().port), b"x") == b"x"


def test_multicast_is_no_source() -> None:
    """A reply to a multicast datagram leaves from the route's address; a link-local reply keeps its interface."""
    level, kind = socket.IPPROTO_IPV6, 50
    group, local = bytes.fromhex("ff02" + "0" * 28), bytes.fromhex("fe80" + "0" * 28)
    assert SourceAddress.from_recvmsg(("::1", 7), [(level, kind, group + b"\1\0\0\0")]).ancillary == ()
    assert SourceAddress.from_recvmsg(("::1", 7), [(level, kind, local + b"\1\0\0\0")]).ancillary == (
        (level, kind, local + b"\1\0\0\0"),
    )
    assert SourceAddress.from_recvmsg(("::1", 7), [(socket.SOL_SOCKET, 29, b"")]) == ("::1", 7)


@pytest_twisted.ensureDeferred
async def test_one_call_does_bounded_work(started: Started, served: Served) -> None:
    """One doRead serves a bounded number of datagrams, however many are pending and however short they are."""
    port = started(served.on(sockopts=options("SO_RCVBUF=1000000")))
    port.stopReading()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(served.work + 50):
            sock.sendto(b"", port.socket.getsockname())
        port.doRead()
        assert port.protocol.given == served.work
        port.doRead()
        assert port.protocol.given == served.work + 50


@pytest_twisted.ensureDeferred
async def test_dropped(started: Started, served: Served) -> None:
    """Datagrams that exceed the receive buffer are counted among the listener's errors."""
    port = started(served.on(sockopts=options("SO_RCVBUF=0")))
    listener = UDPListenerService(HostPort("127.0.0.1", 0), port)
    assert (port.dropped, listener.errors()) == (0, {})
    port.stopReading()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(100):
            sock.sendto(b"", port.socket.getsockname())
    port.doRead()
    assert 0 < port.protocol.given < 100
    assert port.dropped == 100 - port.protocol.given
    assert listener.errors() == {"dropped by the kernel": port.dropped}


@pytest_twisted.ensureDeferred
async def test_dropped_where_nobody_counts(started: Started, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel before 4.12 does not report dropped datagrams, which must not keep a daemon from stopping."""
    monkeypatch.setattr(meminfo, "SO_MEMINFO", 9999)
    port = started(served.on())
    assert UDPListenerService(HostPort("127.0.0.1", 0), port).errors() == {}


@pytest_twisted.ensureDeferred
async def test_unsendable(started: Started, served: Served) -> None:
    """A reply to port 0, or to an unroutable or impossible address, is counted and raises nothing."""
    port = started(served.on())
    for address in (("127.0.0.1", 0), ("192.0.2.1", 7), ("255.255.255.255", 7)):
        port.write(b"x", address)
    assert sum(port.errors.values()) == 3, port.errors
    assert port.errors["send EINVAL"] >= 1
    assert await deferToThread(ask_time, port.socket.getsockname(), b"x") == b"x"


@pytest_twisted.ensureDeferred
async def test_error_queue(started: Started, served: Served) -> None:
    """ICMP errors that IP_RECVERR reports neither close the port nor prevent a reply."""
    port = started(served.on(sockopts=options("IP_RECVERR=on")))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        nobody = gone.getsockname()
    port.write(b"x", nobody)  # its ICMP error is pending when the next answer is sent
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(LIMIT)
        port.write(b"second", sock.getsockname())
        assert sock.recv(100) == b"second"
    assert port.errors == {"ICMP error": 1}
    port.write(b"x", nobody)  # and this one is all that the reactor sees
    while port.errors["ICMP error"] == 1:
        await deferLater(reactor, 0, lambda: None)
    assert await deferToThread(ask_time, port.socket.getsockname(), b"x") == b"x"


@pytest_twisted.ensureDeferred
async def test_error_without_room_in_the_queue(started: Started, served: Served) -> None:
    """An ICMP error without space in the error queue is cleared, too; left pending it would spin the reactor."""
    requested = options("IP_RECVERR=on", "SO_RCVBUF=0")
    port = started(served.on(sockopts=requested))
    port.stopReading()
    try:
        port_unreachable(port.getHost().port, bytes(1400))
    except PermissionError as error:
        pytest.skip(f"a raw socket is needed to send an ICMP error: {error}")
    poll = select.poll()
    poll.register(port.socket, 0)
    assert poll.poll(1000), "an error is pending"
    port.readConnectionLost(None)
    assert port.errors["ICMP error"] == 1
    assert poll.poll(0) == []


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_RDWR])
@pytest_twisted.ensureDeferred
async def test_socket_shut_down_by_another(served: Served, how: int) -> None:
    """A UDP socket that another process shuts down ends the port, instead of spinning the reactor."""
    with bound(socket.SOCK_DGRAM) as given:
        port = served.port.adopt(given.fileno(), served.protocol())
        port.startListening()
        port.stopReading()
        with pytest.raises(OSError, match="not connected"):
            given.shutdown(how)
        assert isinstance(port.doRead(), SocketShutDown)
        await port.stopListening()
