"""Fuzz the UDP service: any bytes, from any source port, with any control message, while the clock jumps.

Each datagram has one answer of four bytes, from its destination address, or a counted reason. Both ports count
alike, though one looks at each datagram and the other at as few as it can.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from collections import Counter
from contextlib import ExitStack
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from twisted.internet.testing import MemoryReactorClock

from echotime.counters import ServiceCounters
from echotime.net.udp import TimePort
from echotime.services.udp_time import TimeProtocol
from echotime.wire.timestamp import Epoch
from tests.hostile.forging import forge, forge_on_link, raw_socket
from tests.support.fuzz_settings import bounded
from tests.support.loopback import Portable, options
from tests.support.udp_ports import heard

HOSTS = ["127.0.0.2", "127.0.0.3", "127.0.0.2"]
"""Addresses of the clients; two of them share one."""
DESTINATIONS = ["127.0.0.1", "127.0.0.9"]
BROADCAST = "127.255.255.255"
LOW = ("127.0.0.5", 77)
MESSAGES = ["SO_TIMESTAMP", "IP_RECVTTL", "IP_RECVTOS"]
"""Options that add a control message to received datagrams."""
MTU = 9000
"""Bytes that fit one packet on loopback for certain."""
_READS = 300
"""Calls of doRead that read all pending datagrams."""
_SAFE_QUEUE_SIZE = 150_000
"""Bytes that fit the receive buffer for certain."""
PAYLOADS = st.binary(max_size=40) | st.integers(0, 10_000).map(bytes)
WHERE = st.integers(0, 5)
CLOCKS = st.integers(-5000, 5000) | st.integers(-(10**9), 10**10)
OFF = st.sampled_from([-3601, -3600, -1, 0, 1, 3600, 3601])


class Pending(NamedTuple):
    """A pending datagram; `sender` is the index of its client, or names what is special about its source."""

    sender: int | str
    payload: bytes
    host: str


class TimeMachine(RuleBasedStateMachine):
    """A port, three clients, and a sender of forged datagrams."""

    def __init__(self) -> None:
        super().__init__()
        self.resources = ExitStack()
        self.now = 1_700_000_000.0
        self.pending: list[Pending] = []
        self.times: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self.answered = self.dropped = self.gone = 0
        self.raw: socket.socket | None = None

    @initialize(
        kind=st.sampled_from([Portable, TimePort]),
        interface=st.sampled_from(["127.0.0.1", "0.0.0.0", "::"]),
        epoch=st.sampled_from(Epoch),
        recverr=st.booleans(),
    )
    def begin(self, kind: type[TimePort], interface: str, epoch: Epoch, recverr: bool) -> None:
        """Start the port and the clients."""
        self.epoch, self.interface = epoch, interface
        self.recverr = recverr and interface != "::"
        self.counters = ServiceCounters()
        asked = options("SO_RCVBUF=1000000", *(["IP_RECVERR=on"] if self.recverr else []))
        protocol = TimeProtocol(lambda: self.now, self.counters, epoch)
        reactor: Any = MemoryReactorClock()
        self.port: Any = kind(0, protocol, interface=interface, sockopts=asked, min_source_port=1024, reactor=reactor)
        self.port.startListening()
        self.resources.callback(reactor.advance, 0)
        self.resources.callback(self.port.stopListening)
        self.number: int = self.port.getHost().port
        self.clients = [self.client((host, 0)) for host in HOSTS]
        with contextlib.suppress(PermissionError):
            self.raw = self.resources.enter_context(raw_socket())

    def client(self, at: tuple[str, int]) -> socket.socket:
        """Open a client socket bound to an address, on another port number than the daemon's."""
        while True:
            sock = self.resources.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.bind(at)
            # on another local address the kernel may choose the same number, which is the daemon's own to it
            if sock.getsockname()[1] != self.number:
                return sock

    @property
    def hosts(self) -> list[str]:
        """The addresses at which the port can be reached."""
        if self.interface == "127.0.0.1":
            return DESTINATIONS[:1]
        return [*DESTINATIONS, BROADCAST] if self.interface == "0.0.0.0" else DESTINATIONS

    def send(self, sender: int, payload: bytes, where: int, times: int = 1) -> None:
        """Send datagrams; read before, if the receive buffer may be full, and at once, if `where` is odd."""
        host = self.hosts[where % len(self.hosts)]
        for _ in range(times):
            if sum(len(each.payload) + 1000 for each in self.pending) > _SAFE_QUEUE_SIZE:
                self.read()
            self.clients[sender].sendto(payload, (host, self.number))
            self.pending.append(Pending(sender, payload, host))
        if where % 2:
            self.read()

    @rule(sender=st.integers(0, 2), payload=PAYLOADS, where=WHERE)
    def ask(self, sender: int, payload: bytes, where: int) -> None:
        """Send a datagram with any bytes."""
        self.send(sender, payload, where)

    @rule(sender=st.integers(0, 2), payload=st.binary(max_size=5), where=WHERE, times=st.integers(1, 100))
    def ask_often(self, sender: int, payload: bytes, where: int, times: int) -> None:
        """Send the same bytes many times."""
        self.send(sender, payload, where, times)

    @rule(sender=st.integers(0, 2), epoch=st.sampled_from(Epoch), off=OFF, where=WHERE, times=st.integers(1, 4))
    def ask_with_a_time(self, sender: int, epoch: Epoch, off: int, where: int, times: int) -> None:
        """Send datagrams that look like an answer, or nearly."""
        self.send(sender, struct.pack("!I", (int(self.now) + epoch.value + off) % 2**32), where, times)

    @precondition(lambda self: self.raw is not None)
    @rule(which=st.sampled_from(["no port", "low port", "own port"]), payload=PAYLOADS)
    def ask_from_nowhere(self, which: str, payload: bytes) -> None:
        """Send from a source that no client has."""
        source = {"no port": ("127.0.0.6", 0), "low port": LOW, "own port": ("127.0.0.6", self.number)}[which]
        self.read()
        forge(source, ("127.0.0.1", self.number), payload, by=self.raw)
        self.pending.append(Pending(which, payload, "127.0.0.1"))

    @precondition(lambda self: self.raw is not None and self.interface != "127.0.0.1")
    @rule(ipv6=st.booleans(), payload=PAYLOADS.filter(lambda payload: len(payload) < MTU))
    def ask_without_source(self, ipv6: bool, payload: bytes) -> None:
        """Send from the unspecified address, as a neighbor can."""
        source, host = ("::", "::1") if ipv6 and self.interface == "::" else ("0.0.0.0", "255.255.255.255")
        self.read()
        forge_on_link("lo", (source, self.clients[0].getsockname()[1]), (host, self.number), payload)
        self.pending.append(Pending("unspecified", payload, host))

    @precondition(lambda self: self.recverr)
    @rule()
    def ask_and_go(self) -> None:
        """Send from a client that closes, so that the answer causes an ICMP error."""
        self.read()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("127.0.0.1", self.number))
        self.pending.append(Pending("gone", b"", "127.0.0.1"))

    @rule(seconds=CLOCKS)
    def jump(self, seconds: int) -> None:
        """Set the wall clock forward or back."""
        self.now = max(0.0, self.now + seconds)

    @rule(name=st.sampled_from(MESSAGES), value=st.sampled_from(["on", "off"]))
    def change(self, name: str, value: str) -> None:
        """Switch a control message of received datagrams on or off."""
        self.read()
        self.port.set_option(options(f"{name}={value}")[0])

    @rule()
    def read(self) -> None:
        """Read all pending datagrams, and compare answers and counters with the model."""
        expected: list[list[tuple[bytes, str]]] = [[] for _ in self.clients]
        answer = struct.pack("!I", (int(self.now) + self.epoch.value) % 2**32)
        for each in self.pending:
            if self.is_answered(each) and isinstance(each.sender, int):
                expected[each.sender].append((answer, each.host))
        self.pending.clear()
        for _ in range(_READS):
            if not select.select([self.port.socket], [], [], 0)[0]:
                break
            assert self.port.doRead() is None
            if self.recverr:
                self.port.readConnectionLost(None)
        assert [heard(sock) for sock in self.clients] == expected
        errors = dict(self.port.errors)
        assert errors.pop("ICMP error", 0) <= self.gone
        assert errors == {}
        assert self.counters.refusals() == self.refused
        assert self.counters.datagrams == self.answered
        assert self.port.dropped == self.dropped

    def is_answered(self, each: Pending) -> bool:
        """Return True if docs/security.md promises an answer; count the reason if not."""
        if each.sender in {"no port", "low port"}:
            self.dropped += 1
            return False
        if each.sender == "unspecified":
            self.refused["datagrams refused (unspecified source)"] += 1
            return False
        if each.sender == "own port":
            self.refused["datagrams refused (own address)"] += 1
            return False
        if each.host == BROADCAST:
            self.refused["datagrams refused (broadcast or multicast)"] += 1
            return False
        if isinstance(each.sender, int):
            looks_like_time = self.looks_like_a_time(each.payload)
            self.times[each.sender] += looks_like_time
            if looks_like_time and self.times[each.sender] > 3:
                self.refused["datagrams refused (loop)"] += 1
                return False
        else:
            self.gone += 1
        self.answered += 1
        return True

    def looks_like_a_time(self, payload: bytes) -> bool:
        """Return True for a time within an hour of the clock, from either epoch, modulo 2**32."""
        if len(payload) != 4:
            return False
        said = int.from_bytes(payload, "big")
        return any((said - int(self.now) - epoch.value + 3600) % 2**32 <= 7200 for epoch in Epoch)

    def teardown(self) -> None:
        """Check that the port is still open."""
        with self.resources:
            if hasattr(self, "port"):
                self.send(0, b"after all", 0)
                self.read()


def test_fuzz_udp() -> None:
    """Each datagram has one answer of four bytes or a counted reason, and the port survives."""
    run_state_machine_as_test(TimeMachine, settings=bounded())
