"""net/bpf.py, and refusals by address on each kind of UDP port."""

from __future__ import annotations

import os
import resource
import select
import socket
from typing import Any

import pytest
from twisted.logger import LogEvent

from echotime.net import bpf
from echotime.net.local_address import is_local
from tests.hostile.forging import forge_on_link
from tests.support.loopback import SERVED, Constant, Served, options
from tests.support.namespace import in_namespace
from tests.support.twistd_process import LIMIT
from tests.support.udp_ports import client, heard, listening


@pytest.fixture(params=SERVED)
def served(request: pytest.FixtureRequest) -> Served:
    """Provide each kind of UDP port."""
    return SERVED[request.param]


root = pytest.mark.skipif(os.geteuid() != 0, reason="a frame with a forged source takes a packet socket, and that root")


def from_port(number: int, to: tuple[str, int]) -> socket.socket:
    """Send a datagram from a low port and return its socket."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind(("127.0.0.5", number))
    except PermissionError as error:
        sock.close()
        pytest.skip(f"a low port cannot be had: {error}")
    sock.sendto(b"x", to)
    return sock


def test_low_ports_are_dropped_by_the_kernel(served: Served) -> None:
    """The kernel drops and counts datagrams from ports below the limit; others are answered."""
    with listening(served, "127.0.0.1", min_source_port=1000) as port, client() as sock:
        address = port.socket.getsockname()
        with from_port(999, address) as low, from_port(1000, address) as lowest:
            sock.sendto(b"x", address)
            port.doRead()
            assert (heard(low), len(heard(lowest)), len(heard(sock))) == ([], 1, 1)
        assert (port.dropped, port.protocol.refused, port.errors) == (1, {}, {})


def test_ipv6(served: Served) -> None:
    """The filter works on IPv6, too."""
    with listening(served, "::1", min_source_port=65535) as port, client(host="::1") as sock:
        sock.sendto(b"x", port.socket.getsockname())
        port.doRead()
        assert (heard(sock), port.dropped) == ([], 1)


def test_without_the_filter(served: Served, monkeypatch: pytest.MonkeyPatch, clean_reactor: list[LogEvent]) -> None:
    """If the kernel takes no filter, that is logged, and the daemon refuses datagrams from low ports."""

    def refused(sock: socket.socket, lowest: int, own: int) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr(bpf, "attach", refused)
    with listening(served, "127.0.0.1", min_source_port=1000) as port, client() as sock:
        assert not port.kernel_filtered
        address = port.socket.getsockname()
        with from_port(999, address) as low:
            sock.sendto(b"x", address)
            port.doRead()
            port.doRead()
            assert (heard(low), len(heard(sock))) == ([], 1)
        assert port.protocol.refused == {"datagrams refused (low port)": 1}


def test_our_own_port(served: Served) -> None:
    """A datagram from the port's own number is not answered if its address is local."""
    with listening(served, "0.0.0.0") as port, client() as sock:
        number = port.getHost().port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            # the port's own address is taken, so another socket of the host stands for it
            port._realPortNumber = sock.getsockname()[1]
            if hasattr(port, "_own_port"):
                port._own_port = socket.htons(port._realPortNumber)
            other.bind(("127.0.0.1", 0))
            for each in (sock, other):
                each.sendto(b"x", ("127.0.0.1", number))
            port.doRead()
            assert (heard(sock), len(heard(other))) == ([], 1)
        assert port.protocol.refused == {"datagrams refused (own address)": 1}


def test_our_own_port_without_a_descriptor(served: Served) -> None:
    """The check of the own address needs no descriptor."""
    with listening(served, "127.0.0.1") as port, client() as sock:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as same_number:
            same_number.bind(("127.0.0.2", port.getHost().port))
            for each in (same_number, sock):
                each.sendto(b"x", ("127.0.0.1", port.getHost().port))
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                port.doRead()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert (heard(same_number), len(heard(sock))) == ([], 1)
        assert port.protocol.refused == {"datagrams refused (own address)": 1}


@pytest.mark.parametrize("destination", ["127.255.255.255", "224.0.0.1"])
@pytest.mark.parametrize("answers", [False, True])
def test_broadcast(served: Served, destination: str, answers: bool) -> None:
    """A broadcast or multicast datagram is refused unless enabled; others of the batch are answered."""
    with listening(served, "0.0.0.0", answer_broadcast=answers) as port, client() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        number = port.getHost().port
        for host in ("127.0.0.1", destination, "127.0.0.3"):
            sock.sendto(b"x", (host, number))
        port._next_batch_size = port.batch_size
        port.doRead()
        found = heard(sock)
        assert len(found) == (3 if answers else 2)
        assert {host for _, host in found} == {"127.0.0.1", "127.0.0.3"}
        assert port.protocol.refused == ({} if answers else {"datagrams refused (broadcast or multicast)": 1})


@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize(
    ("interface", "destination", "switched"),
    [
        ("127.255.255.255", "127.255.255.255", ()),
        ("224.0.0.1", "224.0.0.1", ()),
        ("224.0.0.1", "224.0.0.1", ("IP_PKTINFO=on",)),
        ("0.0.0.0", "127.255.255.255", ("IP_PKTINFO=off",)),
        ("0.0.0.0", "224.0.0.1", ("IP_PKTINFO=off",)),
        ("::", "127.255.255.255", ("IPV6_RECVPKTINFO=off",)),
        ("::", "127.255.255.255", ("IPV6_RECVPKTINFO=off", "IP_PKTINFO=on")),
    ],
)
def test_broadcast_without_pktinfo(
    served: Served, interface: str, destination: str, switched: tuple[str, ...], answers: bool
) -> None:
    """Broadcast and multicast are recognized on any address, and if the reply's source is left to the route."""
    with listening(served, interface, *switched, answer_broadcast=answers) as port, client() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        number = port.getHost().port
        unicast = [] if interface == destination else ["127.0.0.1", "127.0.0.1"]
        for host in (destination, *unicast):
            sock.sendto(b"x", (host, number))
        port.doRead()
        assert len(heard(sock)) == len(unicast) + answers
        assert port.protocol.refused == ({} if answers else {"datagrams refused (broadcast or multicast)": 1})


@pytest.mark.parametrize("interface", ["::", "ff02::1%here"])
def test_ipv6_multicast_without_pktinfo(served: Served, interface: str) -> None:
    """The same holds for IPv6."""

    def ask() -> tuple[dict[str, int], dict[str, int], list[Any]]:
        with listening(served, interface, "IPV6_RECVPKTINFO=off") as port, client(host="::") as sock:
            for host in ["ff02::1"] if "%" in interface else ["ff02::1", "fe80::1"]:
                sock.sendto(b"x", (host, port.getHost().port, 0, socket.if_nametoindex("here")))
                select.select([port.socket], [], [], LIMIT)
                port.doRead()
            return port.protocol.refused, port.errors, heard(sock)

    answers = [] if "%" in interface else [(b"x", "fe80::1")]
    assert in_namespace(ask) == ({"datagrams refused (broadcast or multicast)": 1}, {}, answers)


def test_switching_pktinfo(served: Served) -> None:
    """Datagrams are served together again after IP_PKTINFO is switched on."""
    with listening(served, "0.0.0.0", "IP_PKTINFO=off") as port, client() as sock:
        for text in ("IP_PKTINFO=on", "IP_PKTINFO=off", "IP_PKTINFO=on"):
            port.set_option(options(text)[0])
        sock.sendto(b"x", ("127.0.0.1", port.getHost().port))
        port.doRead()
        assert port.protocol.together == ([1] if served.protocol is Constant else [])


@root
@pytest.mark.parametrize(
    ("interface", "source", "destination", "switched"),
    [
        ("::", "::", "::1", ()),
        ("::1", "::", "::1", ()),
        ("0.0.0.0", "0.0.0.0", "255.255.255.255", ()),
        ("0.0.0.0", "0.0.0.0", "255.255.255.255", ("IP_PKTINFO=off",)),
        ("::", "0.0.0.0", "255.255.255.255", ()),
        ("::", "0.0.0.0", "255.255.255.255", ("IPV6_RECVPKTINFO=off",)),
    ],
)
def test_unspecified_source(
    served: Served, interface: str, source: str, destination: str, switched: tuple[str, ...]
) -> None:
    """A datagram from the unspecified address is refused, as the kernel would reply to loopback."""
    host = "127.0.0.1" if interface == "0.0.0.0" else "::1"
    with listening(served, interface, *switched, answer_broadcast=True) as port, client(host=host) as sock:
        number = port.getHost().port
        for _ in range(2):
            sock.sendto(b"x", (host, number))
            # the source port is that of the client, which would hear the answer
            forge_on_link("lo", (source, sock.getsockname()[1]), (destination, number))
        sock.sendto(b"x", (host, number))
        port.doRead()
        assert heard(sock) == [(b"x", host)] * 3
        assert port.protocol.refused == {"datagrams refused (unspecified source)": 2}
        assert port.protocol.given == 3


@root
def test_unspecified_source_with_our_port(served: Served) -> None:
    """The reason stays the unspecified address if the source port is ours, too."""
    with listening(served, "::") as port:
        number = port.getHost().port
        forge_on_link("lo", ("::", number), ("::1", number))
        port.doRead()
        assert (port.protocol.refused, port.protocol.given) == ({"datagrams refused (unspecified source)": 1}, 0)


@root
@pytest.mark.parametrize("source", ["::ffff:127.0.0.1", "::ffff:0.0.0.0"])
@pytest.mark.parametrize("switched", ["IPV6_RECVPKTINFO=on", "IPV6_RECVPKTINFO=off"])
def test_mapped_source(served: Served, source: str, switched: str) -> None:
    """An IPv6 packet with an IPv4-mapped source is dropped by the kernel, as it would be answered over IPv4."""
    with listening(served, "::", switched, min_source_port=1) as port, client() as sock:
        number = port.getHost().port
        forge_on_link("lo", (source, sock.getsockname()[1]), ("::1", number))
        sock.sendto(b"x", ("127.0.0.1", number))
        with client(host="::1") as six:
            six.sendto(b"x", ("::1", number))
            port.doRead()
            assert [answer for each in (sock, six) for answer, _ in heard(each)] == [b"x", b"x"]
        assert (port.dropped, port.errors, port.protocol.refused, port.protocol.given) == (1, {}, {}, 2)


def udp(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    """Return a UDP socket of this network."""
    return socket.socket(family, socket.SOCK_DGRAM)


def test_is_ours() -> None:
    """Only addresses of the host are local; the check sends nothing."""
    with udp() as sock, udp(socket.AF_INET6) as six, udp() as witness:
        witness.bind(("127.0.0.9", 0))
        number = witness.getsockname()[1]
        assert is_local(("127.0.0.9", number), sock)
        assert is_local(("::1", number, 0, 0), six)
        assert is_local(("::ffff:127.0.0.9", number, 0, 0), six)
        assert not is_local(("192.0.2.1", number), sock)
        assert not is_local(("224.0.0.1", number), sock)
        assert not is_local(("255.255.255.255", number), sock)
        assert heard(witness) == []


@pytest.mark.parametrize(
    ("address", "ours"),
    [
        (("10.9.0.1", 7), True),
        (("10.9.0.2", 7), False),
        (("fd09::1", 7, 0, 0), True),
        (("fd09::2", 7, 0, 0), False),
        (("fe80::1", 7, 0, "here"), True),
        (("fe80::2", 7, 0, "here"), False),
        (("::ffff:10.9.0.1", 7, 0, 0), True),
        (("::ffff:10.9.0.2", 7, 0, 0), False),
    ],
)
def test_is_ours_elsewhere(address: tuple[Any, ...], ours: bool) -> None:
    """The check applies to the socket's own network namespace."""

    def made() -> tuple[socket.socket, int]:
        return udp(socket.AF_INET6 if ":" in address[0] else socket.AF_INET), socket.if_nametoindex("here")

    sock, here = in_namespace(made)
    with sock:
        assert is_local(tuple(here if each == "here" else each for each in address), sock) is ours


def test_program() -> None:
    """Four instructions of classic BPF: load the source port, compare, drop, accept."""
    assert bpf.build_program(1024).hex(" ", 8) == (
        "2800000000000000 3500010000040000 0600000000000000 0600000000000400"
    )
    assert bpf.build_program(1024, 12345) == bpf.build_program(1024)


def test_program_for_ipv6() -> None:
    """On IPv6 nine more instructions drop packets with a source in ::ffff:0:0/96."""
    before = "2000000000f0ffff 15000007dd860000 200000000800f0ff 1500000500000000 200000000c00f0ff 1500000300000000"
    dropping = "200000001000f0ff 15000001ffff0000 0600000000000000"
    expected = f"{before} {dropping} {bpf.build_program(1024, 37).hex(' ', 8)}"
    assert bpf.build_program(1024, 37, ipv6=True).hex(" ", 8) == expected


def test_program_of_a_low_port() -> None:
    """One more instruction accepts the socket's own port."""
    assert bpf.build_program(1024, 37).hex(" ", 8) == (
        "2800000000000000 3500020000040000 1500010025000000 0600000000000000 0600000000000400"
    )


@pytest.mark.parametrize(("ours", "reason"), [(True, "own address"), (False, "low port")])
def test_own_low_port(served: Served, monkeypatch: pytest.MonkeyPatch, ours: bool, reason: str) -> None:
    """Datagrams from the socket's own low port pass the filter, for its probes, and are refused."""
    monkeypatch.setattr("echotime.net.udp_port.is_local", lambda address, sock: ours)
    with listening(served, "127.0.0.1", number=999, min_source_port=1000) as port:
        with from_port(999, port.socket.getsockname()) as other:
            port.doRead()
            assert heard(other) == []
        assert (port.kernel_filtered, port.protocol.refused) == (True, {f"datagrams refused ({reason})": 1})
