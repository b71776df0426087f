"""Test net/udp.py with batches of datagrams, on real sockets, with doRead called by hand."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
from typing import Any

import pytest

from echotime.limits.datagrams import DatagramBatch
from tests.hostile.forging import forge
from tests.support.loopback import SERVED, Constant, Mirror, Served, Short, options
from tests.support.namespace import in_namespace
from tests.support.udp_ports import answered, client, heard, listening

TOGETHER = SERVED["batched, together"]
both = pytest.mark.parametrize("served", SERVED.values(), ids=SERVED.keys())


def source_of_answer(port: Any, destination: str) -> str:
    """Return the host that a client on 127.0.0.1 receives the reply from."""
    with client() as sock:
        sock.sendto(b"x", (destination, port.getHost().port))
        port.doRead()
        answer, source = sock.recvfrom(100)
        assert answer == b"x"
        return str(source[0])


@pytest.mark.parametrize(
    ("interface", "destination"),
    [
        ("0.0.0.0", "127.0.0.3"),
        ("127.0.0.3", "127.0.0.3"),
        ("::", "::1"),
        ("::", "127.0.0.3"),
        ("::1", "::1"),
    ],
)
def test_destination_addresses(interface: str, destination: str) -> None:
    """Replies that are sent together leave from the destination addresses."""
    with listening(TOGETHER, interface) as port:
        for _ in range(2):
            assert answered(port, (destination, port.getHost().port)) == b"x"
        assert (port.protocol.together, port.protocol.singly) == ([1, 1], 0)


def test_link_local_and_multicast() -> None:
    """A link-local reply leaves by its interface; the reply to a multicast datagram from the route's address."""

    def answers() -> tuple[bytes, list[tuple[bytes, Any]], Mirror]:
        index = socket.if_nametoindex("here")
        with listening(TOGETHER, "::", answer_broadcast=True) as port, client(host="::") as sock:
            number = port.getHost().port
            one = answered(port, ("fe80::1", number, 0, index))
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.sendto(b"x", ("ff02::1", number, 0, index))
            sock.sendto(b"x", ("::1", number))
            port._next_batch_size = port.batch_size
            port.doRead()
            assert port.errors == {}
            return one, heard(sock), port.protocol

    one, others, protocol = in_namespace(answers)
    assert one == b"x"
    assert [answer for answer, _ in others] == [b"x", b"x"]
    assert others[0][1].startswith("fe80::")
    assert others[1][1] == "::1"
    assert (protocol.singly, protocol.together) == (3, [])


@pytest.mark.parametrize(
    ("interface", "destination", "elsewhere"), [("0.0.0.0", "10.9.0.1", "10.9.0.7"), ("::", "fd09::1", "fd09::7")]
)
def test_answers_leave_by_the_route(interface: str, destination: str, elsewhere: str) -> None:
    """Replies leave by the route, not by the interface that received the datagram."""

    def served() -> tuple[list[int], dict[str, int], str]:
        with listening(TOGETHER, interface) as port:
            address = destination, port.getHost().port
            if ":" in destination:
                with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                    sock.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
                    sock.bind((elsewhere, 0))
                    sock.sendto(b"x", address)
            else:
                forge((elsewhere, 7), address, b"x")
            select.select([port.socket], [], [], 10)  # a busy machine may hand it over later
            port.doRead()
            neighbour = subprocess.run(
                ["ip", "neighbour", "show", elsewhere], capture_output=True, text=True, check=True
            )
            return port.protocol.together, port.errors, neighbour.stdout

    together, errors, neighbour = in_namespace(served)
    assert (together, errors) == ([1], {})
    assert "dev here" in neighbour  # which was looked for


@both
@pytest.mark.parametrize("interface", ["127.0.0.1", "0.0.0.0", "::"])
def test_failed_answer_in_the_middle(served: Served, interface: str) -> None:
    """Replies that cannot be sent are counted by errno, and all others are sent."""
    with listening(served, interface) as port, client() as sock:
        address = ("127.0.0.1", port.getHost().port)
        try:
            for source in (("127.0.0.1", 0), ("255.255.255.255", 7), ("127.0.0.1", 0)):
                sock.sendto(b"x", address)
                forge(source, address, b"x")
            sock.sendto(b"x", address)
        except PermissionError as error:
            pytest.skip(f"a raw socket is needed: {error}")
        port.doRead()
        assert heard(sock) == [(b"x", "127.0.0.1")] * 4
        assert port.errors == {"send EINVAL": 2, "send EACCES": 1}
        assert port.protocol.given == 7


@both
def test_full_send_buffer(served: Served) -> None:
    """Replies without space in the send buffer are counted and dropped."""

    def errors() -> dict[str, int]:
        with listening(served, "10.9.0.1", "SO_SNDBUF=0") as port:
            for _ in range(40):  # nobody has that address, so answers wait for a neighbour
                forge(("10.9.0.7", 7), ("10.9.0.1", port.getHost().port), b"x")
            port.doRead()
            return dict(port.errors)

    counted = in_namespace(errors)
    assert counted.keys() == {"send EAGAIN"}
    assert 20 < counted["send EAGAIN"] < 40


@both
def test_icmp_errors_in_the_middle(served: Served) -> None:
    """An ICMP error for one reply does not prevent another reply."""
    with listening(served, "127.0.0.1", "IP_RECVERR=on") as port, client() as sock:
        for _ in range(10):
            sock.sendto(b"x", port.socket.getsockname())
            with client() as gone:
                gone.sendto(b"x", port.socket.getsockname())
        sock.sendto(b"x", port.socket.getsockname())
        port.doRead()
        port.readConnectionLost(None)
        assert len(heard(sock)) == 11
        assert port.errors == {"ICMP error": 10}


@both
def test_icmp_error_before_a_batch(served: Served) -> None:
    """A pending ICMP error is cleared, and the datagrams behind it are read in the same call."""
    with listening(served, "127.0.0.1", "IP_RECVERR=on") as port, client() as sock:
        with client() as gone:
            nobody = gone.getsockname()
        port.write(b"x", nobody)
        sock.sendto(b"x", port.socket.getsockname())
        port.doRead()
        assert len(heard(sock)) == 1
        assert port.errors == {"ICMP error": 1}


def test_icmp_error_before_the_answers() -> None:
    """An ICMP error that arrives between datagrams and replies does not prevent a reply either."""
    with client() as gone:
        nobody = gone.getsockname()

    class Disturbed(Constant):
        def batch_response(self, batch: DatagramBatch) -> bytes:
            assert self.transport is not None
            self.transport.write(b"", nobody)
            return b"%d" % batch.count

    kind = TOGETHER._replace(protocol=Disturbed)
    with listening(kind, "127.0.0.1", "IP_RECVERR=on") as port, client() as sock:
        for number in (2, 1):
            for _ in range(number):
                sock.sendto(b"x", port.socket.getsockname())
            port.doRead()
            assert heard(sock) == [(b"%d" % number, "127.0.0.1")] * number
        assert port.errors == {"ICMP error": 2}


LENGTHS = [*range(21), 100, 8192, 9000, 65507]


@pytest.mark.parametrize("protocol", [Constant, Short])
def test_lengths(protocol: type[Short]) -> None:
    """Datagrams of any length are answered, and the protocol can distinguish short ones."""
    with listening(TOGETHER._replace(protocol=protocol), "127.0.0.1") as port, client() as sock:
        for length in LENGTHS:
            sock.sendto(bytes(length), port.socket.getsockname())
        port.doRead()
        answers = [answer for answer, _ in heard(sock)]
        assert answers == [bytes(length) if length in protocol.per_datagram_lengths else b"x" for length in LENGTHS]
        assert port.protocol.given == len(LENGTHS)
        for length in LENGTHS:  # each in a batch of its own
            sock.sendto(bytes(length), port.socket.getsockname())
            port.doRead()
            assert heard(sock)[0][0] == (bytes(length) if length in protocol.per_datagram_lengths else b"x")


RECEIVE = ["SO_TIMESTAMP=on", "IP_RECVTTL=on", "IP_RECVTOS=on"]


@both
@pytest.mark.parametrize(
    ("interface", "destination", "switched", "source"),
    [
        *(("0.0.0.0", "127.0.0.3", [one], "127.0.0.3") for one in RECEIVE),
        *(("::", "127.0.0.3", [one], "127.0.0.3") for one in [*RECEIVE, "IP_PKTINFO=on"]),
        ("0.0.0.0", "127.0.0.3", RECEIVE, "127.0.0.3"),
        ("0.0.0.0", "127.0.0.3", ["IP_PKTINFO=off"], "127.0.0.1"),
        ("0.0.0.0", "127.0.0.3", ["IP_PKTINFO=off", *RECEIVE], "127.0.0.1"),
        # SO_TIMESTAMP alone has the very size of the destination address
        ("0.0.0.0", "127.0.0.3", ["IP_PKTINFO=off", "SO_TIMESTAMP=on"], "127.0.0.1"),
        ("::", "127.0.0.3", ["IPV6_RECVPKTINFO=off"], "127.0.0.1"),
        ("::", "127.0.0.3", ["IPV6_RECVPKTINFO=off", "IP_PKTINFO=on"], "127.0.0.3"),
        ("127.0.0.3", "127.0.0.3", ["IP_PKTINFO=on", *RECEIVE], "127.0.0.3"),
    ],
)
def test_other_control_messages(
    served: Served, interface: str, destination: str, switched: list[str], source: str
) -> None:
    """With any other control messages the reply leaves from the right address."""
    with listening(served, interface, *switched) as port:
        assert [source_of_answer(port, destination) for _ in range(2)] == [source] * 2


@both
def test_asked_address_at_run_time(served: Served) -> None:
    """IP_PKTINFO can be switched at run time, and replies leave accordingly."""
    with listening(served, "0.0.0.0", "IP_PKTINFO=off") as port:
        for text, source in (("SO_PRIORITY=0", "1"), ("IP_PKTINFO=on", "3"), ("IP_PKTINFO=off", "1")):
            port.set_option(options(text)[0])
            assert source_of_answer(port, "127.0.0.3") == f"127.0.0.{source}"


@both
def test_many_sources(served: Served) -> None:
    """Each client receives its own reply from its destination, in a large batch and a smaller one after it."""
    with listening(served, "0.0.0.0") as port, contextlib.ExitStack() as stack:
        hosts = [f"127.0.0.{number}" for number in range(1, 61)]
        clients = [stack.enter_context(client((host, port.getHost().port))) for host in hosts]
        for asking in (clients, clients[30:40], clients[::-1], clients[:2]):
            for each in asking:
                each.send(b"x")
            port.doRead()
            assert [heard(each) for each in clients] == [
                [(b"x", host)] if each in asking else [] for host, each in zip(hosts, clients, strict=True)
            ]
        assert port.errors == {}
