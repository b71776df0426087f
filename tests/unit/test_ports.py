"""ports/: real sockets on loopback, in the reactor of the tests."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Protocol, ServerFactory
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent

from echotime.ports.adopted import WrongDescriptor, adopted
from echotime.ports.asked_address import Sender
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.sockopt.apply import OptionFailed
from echotime.sockopt.assignment import Assignment, parse
from echotime.sockopt.catalogue import BY_NAME

LIMIT = 10


class Sizes(Protocol):
    """Keeps the sizes of what it is given, and the last transport."""

    def dataReceived(self, data: bytes) -> None:
        """Note it; at the end of the message tell whoever waits."""
        factory = self.factory
        assert isinstance(factory, SizesFactory)
        factory.sizes.append(len(data))
        factory.connection = self.transport
        if sum(factory.sizes) >= factory.expected:
            factory.done.callback(None)


class SizesFactory(ServerFactory):
    """Makes Sizes."""

    noisy = False
    protocol = Sizes

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.sizes: list[int] = []
        self.connection: Any = None
        self.done: Deferred[None] = Deferred()


class Mirror(DatagramProtocol):
    """Sends every datagram back, or fails at it."""

    noisy = False

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer."""
        if datagram == b"fail":
            raise ValueError("cannot be handled")
        assert self.transport is not None
        self.transport.write(datagram, addr)


Started = Callable[[Any], Any]


@pytest_twisted.async_yield_fixture()
async def started() -> AsyncIterator[Started]:
    """Starts ports, and stops them after the test."""
    ports: list[Any] = []

    def start(port: Any) -> Any:
        port.startListening()
        ports.append(port)
        return port

    yield start
    for port in ports:
        await maybeDeferred(port.stopListening)


def open_descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def port_unreachable(source: int, payload: bytes) -> None:
    """Send the ICMP error for a datagram that loopback's `source` would have sent to port 9 there."""
    address = socket.inet_aton("127.0.0.1")
    udp_header = struct.pack("!HHHH", source, 9, 8 + len(payload), 0)
    length = 20 + len(udp_header) + len(payload)
    ip_header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 17, 0, address, address)
    quoted = ip_header + udp_header + payload
    words = struct.unpack(f"!{(8 + len(quoted)) // 2}H", struct.pack("!BBHI", 3, 3, 0, 0) + quoted)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.sendto(struct.pack("!BBHI", 3, 3, checksum, 0) + quoted, ("127.0.0.1", 0))


def options(*texts: str) -> list[Assignment]:
    """Assignments of a command line."""
    return [parse(text) for text in texts]


def get(sock: socket.socket, name: str) -> int:
    """An option's value on a socket."""
    option = BY_NAME[name]
    return sock.getsockopt(option.level_number, option.number)


def deliver(address: tuple[str, int], data: bytes) -> None:
    """Send over TCP and close."""
    with socket.create_connection(address, timeout=LIMIT) as sock:
        sock.sendall(data)
        sock.recv(1)


def ask(address: tuple[str, int], datagram: bytes = b"x") -> bytes:
    """Ask over UDP, hearing only the address that was asked."""
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT)
        sock.connect(address)
        sock.send(datagram)
        return sock.recv(100)


@pytest_twisted.ensureDeferred
async def test_messages_have_at_most_4096_bytes(started: Started) -> None:
    """An accepted connection is read 4096 bytes at a time, and has its options."""
    factory = SizesFactory(100_000)
    port = started(EchoPort(0, factory, interface="127.0.0.1", asked=options("SO_PRIORITY=5", "tcp:SO_KEEPALIVE=on")))
    client = deferToThread(deliver, ("127.0.0.1", port.getHost().port), bytes(100_000))
    await factory.done
    handle = factory.connection.getHandle()
    assert max(factory.sizes) == 4096
    assert get(handle, "SO_PRIORITY") == 5, "not inherited, so it is set again"
    assert get(handle, "SO_KEEPALIVE") == 1
    assert get(handle, "TCP_NODELAY") == 1
    factory.connection.loseConnection()
    await client


@pytest_twisted.ensureDeferred
async def test_what_fails_on_connections_is_left_out(started: Started) -> None:
    """An option that the listener takes and connections refuse does not keep clients out."""
    factory = SizesFactory(2)
    # TCP_FASTOPEN: EINVAL on an accepted connection
    port = started(EchoPort(0, factory, interface="127.0.0.1", asked=options("6:23=5")))
    client = deferToThread(deliver, ("127.0.0.1", port.getHost().port), b"hi")
    await factory.done
    assert port._again == []
    factory.connection.loseConnection()
    await client


@pytest_twisted.ensureDeferred
async def test_tcp_defaults(started: Started) -> None:
    """SO_REUSEADDR and TCP_NODELAY are on unless asked off; [::] serves both IP versions unless asked not to."""
    port = started(EchoPort(0, SizesFactory(1), interface="::"))
    assert (get(port.socket, "SO_REUSEADDR"), get(port.socket, "TCP_NODELAY")) == (1, 1)
    assert get(port.socket, "IPV6_V6ONLY") == 0
    asked = options("TCP_NODELAY=off", "SO_REUSEADDR=off", "IPV6_V6ONLY=on", "udp:IP_TTL=9", "SO_BROADCAST=on")
    other = started(EchoPort(0, SizesFactory(1), interface="::", asked=asked))
    assert (get(other.socket, "SO_REUSEADDR"), get(other.socket, "TCP_NODELAY")) == (0, 0)
    assert get(other.socket, "IPV6_V6ONLY") == 1
    assert [str(each.asked) for each in other.readings()] == ["SO_REUSEADDR=off", "TCP_NODELAY=off", "IPV6_V6ONLY=on"]


@pytest_twisted.ensureDeferred
async def test_udp_defaults(started: Started) -> None:
    """SO_REUSEADDR is off again after bind; wildcard addresses have their packet info on, others do not."""
    any4, any6, one = (started(TimePort(0, Mirror(), interface=host)) for host in ("0.0.0.0", "::", "127.0.0.1"))
    assert [get(port.socket, "SO_REUSEADDR") for port in (any4, any6, one)] == [0, 0, 0]
    assert get(any4.socket, "IP_PKTINFO") == 1
    assert get(any6.socket, "IPV6_RECVPKTINFO") == 1
    assert get(one.socket, "IP_PKTINFO") == 0


@pytest_twisted.ensureDeferred
async def test_udp_reuseaddr_is_set_before_bind(started: Started) -> None:
    """As the seed's server, it binds where another socket allows that, although its own door is closed after."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        first.bind(("127.0.0.1", 0))
        number = first.getsockname()[1]
        started(TimePort(number, Mirror(), interface="127.0.0.1"))
        with pytest.raises(CannotListenError):
            TimePort(number, Mirror(), interface="127.0.0.1", asked=options("SO_REUSEADDR=off")).startListening()


@pytest.mark.parametrize("make", [EchoPort, TimePort])
@pytest.mark.parametrize(("text", "error"), [("SO_BINDTODEVICE=none0", OptionFailed), ("IP_TTL=9", CannotListenError)])
def test_failed_start_leaves_nothing(make: Any, text: str, error: type[Exception]) -> None:
    """A port whose option or bind fails raises, and keeps no descriptor."""
    descriptors = open_descriptors()
    port = make(0, SizesFactory(1) if make is EchoPort else Mirror(), interface="192.0.2.1", asked=options(text))
    with pytest.raises(error):
        port.startListening()
    assert open_descriptors() <= descriptors


def bound(kind: socket.SocketKind, *, listen: bool = True) -> socket.socket:
    """A blocking socket on loopback, as a service manager could pass it."""
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM and listen:
        sock.listen()
    return sock


@pytest_twisted.ensureDeferred
async def test_adopted_tcp(started: Started) -> None:
    """An EchoPort on a listening descriptor serves it, sets what still can be set, and says what came too late."""
    factory = SizesFactory(2)
    with bound(socket.SOCK_STREAM) as given:
        asked = options("SO_KEEPALIVE=on", "SO_BINDTODEVICE=lo")
        port = started(EchoPort.adopt(given.fileno(), factory, asked=asked))
        address = given.getsockname()
    assert not port.socket.getblocking()
    assert (get(port.socket, "SO_KEEPALIVE"), get(port.socket, "TCP_NODELAY")) == (1, 1)
    assert [str(each) for each in port.readings()] == [
        "SO_KEEPALIVE asked on, effective on",
        "SO_BINDTODEVICE asked lo, effective none: too late: it must be set before bind",
    ]
    client = deferToThread(deliver, address, b"hi")
    await factory.done
    factory.connection.loseConnection()
    await client


@pytest_twisted.ensureDeferred
async def test_adopted_udp(started: Started) -> None:
    """A TimePort on a bound descriptor serves it, without blocking on it, and closes it to others."""
    with bound(socket.SOCK_DGRAM) as given:
        given.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port = started(TimePort.adopt(given.fileno(), Mirror(), asked=options("IP_TTL=9")))
        address = given.getsockname()
    assert await deferToThread(ask, address) == b"x"
    assert (get(port.socket, "IP_TTL"), get(port.socket, "SO_REUSEADDR")) == (9, 0)


def test_wrong_descriptor() -> None:
    """A descriptor that is not what was expected is refused in words."""
    made: list[tuple[Callable[[], Any], socket.SocketKind, str]] = [
        (lambda: bound(socket.SOCK_DGRAM), socket.SOCK_STREAM, "expected a TCP socket, found a UDP one"),
        (lambda: bound(socket.SOCK_STREAM), socket.SOCK_DGRAM, "expected a UDP socket, found a TCP one"),
        (lambda: bound(socket.SOCK_STREAM, listen=False), socket.SOCK_STREAM, "found one that does not listen"),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.SOCK_DGRAM, "found one that is not bound"),
        (lambda: socket.socket(socket.AF_UNIX), socket.SOCK_STREAM, "one of another family"),
        (Path(os.devnull).open, socket.SOCK_STREAM, "found none: Socket operation on non-socket"),
    ]
    descriptors = open_descriptors()
    for make, kind, reason in made:
        with make() as given, pytest.raises(WrongDescriptor, match=reason):
            adopted(given.fileno(), kind)
    with pytest.raises(WrongDescriptor, match="Bad file descriptor"):
        adopted(10_000, socket.SOCK_STREAM)
    assert open_descriptors() == descriptors


@pytest_twisted.ensureDeferred
async def test_answers_leave_from_where_they_were_asked(started: Started) -> None:
    """On wildcard addresses, IPv4 and dual-stack, a connected client hears the address that it asked."""
    for host, asked in (("0.0.0.0", "127.0.0.3"), ("::", "127.0.0.3"), ("::", "::1"), ("127.0.0.1", "127.0.0.1")):
        port = started(TimePort(0, Mirror(), interface=host))
        assert await deferToThread(ask, (asked, port.getHost().port)) == b"x"


def test_multicast_is_no_source() -> None:
    """An answer to a multicast address leaves from the route's; one to a link-local address keeps its link."""
    level, kind = socket.IPPROTO_IPV6, 50
    group, local = bytes.fromhex("ff02" + "0" * 28), bytes.fromhex("fe80" + "0" * 28)
    assert Sender.of(("::1", 7), [(level, kind, group + b"\1\0\0\0")]).control == ()
    assert Sender.of(("::1", 7), [(level, kind, local + b"\1\0\0\0")]).control == ((level, kind, local + b"\1\0\0\0"),)
    assert Sender.of(("::1", 7), [(socket.SOL_SOCKET, 29, b"")]) == ("::1", 7)


@pytest_twisted.ensureDeferred
async def test_one_call_reads_a_batch(started: Started) -> None:
    """However many datagrams wait, and however short they are, doRead handles 64 and gives way."""
    port = started(TimePort(0, Mirror(), interface="127.0.0.1"))
    port.stopReading()
    received: list[bytes] = []
    port.protocol.datagramReceived = lambda datagram, addr: received.append(datagram)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(100):
            sock.sendto(b"", port.socket.getsockname())
    port.doRead()
    assert len(received) == 64
    port.doRead()
    assert len(received) == 100


@pytest_twisted.ensureDeferred
async def test_unsendable(started: Started) -> None:
    """An answer to port 0, an unroutable or an impossible address is counted, and raises nothing."""
    port = started(TimePort(0, Mirror(), interface="127.0.0.1"))
    for address in (("127.0.0.1", 0), ("192.0.2.1", 7), ("255.255.255.255", 7)):
        port.write(b"x", address)
    assert sum(port.errors.values()) == 3, port.errors
    assert port.errors["send EINVAL"] >= 1
    assert await deferToThread(ask, port.socket.getsockname()) == b"x"


@pytest_twisted.ensureDeferred
async def test_error_queue(started: Started) -> None:
    """ICMP errors that IP_RECVERR reports neither close the port nor take an answer's place."""
    port = started(TimePort(0, Mirror(), interface="127.0.0.1", asked=options("IP_RECVERR=on")))
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
    assert await deferToThread(ask, port.socket.getsockname()) == b"x"


@pytest_twisted.ensureDeferred
async def test_error_without_room_in_the_queue(started: Started) -> None:
    """An ICMP error that finds no room in the error queue is taken, too: left pending it would spin the reactor."""
    asked = options("IP_RECVERR=on", "SO_RCVBUF=0")
    port = started(TimePort(0, Mirror(), interface="127.0.0.1", asked=asked))
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
async def test_socket_shut_down_by_another(clean_reactor: list[LogEvent], how: int) -> None:
    """A UDP socket that another process shuts down ends the port, instead of reading nothing without end."""
    with bound(socket.SOCK_DGRAM) as given:
        port = TimePort.adopt(given.fileno(), Mirror())
        port.startListening()
        port.stopReading()
        with pytest.raises(OSError, match="not connected"):
            given.shutdown(how)
        assert port.doRead() is not None
        assert [event["log_format"] for event in clean_reactor] == ["the UDP socket was shut down by another process"]
        clean_reactor.clear()
        await port.stopListening()
