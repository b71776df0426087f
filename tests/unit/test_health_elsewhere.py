"""daemon/health.py where the sockets were passed in from a network that is not the daemon's."""

from __future__ import annotations

import ipaddress
import socket
import time
from typing import Any

import pytest

from echotime.daemon.health import HealthCheck, Verdict
from echotime.daemon.listeners import Listener
from echotime.daemon.settings import Address
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.servers.access import Access, Networks
from echotime.servers.echo import EchoFactory
from echotime.servers.replies import FixedWord
from echotime.servers.time import TimeProtocol
from echotime.servers.traffic import Counters
from tests.unit.checking import Daemon
from tests.unit.namespace import in_namespace


class Elsewhere:
    """A listener and a UDP socket of another network, as a service manager passes them in, and a client there."""

    def __init__(self, daemon: Daemon, host: str = "::", port: int = 0, **udp: Any) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def made() -> list[socket.socket]:
            tcp, datagrams = (socket.socket(family, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
            for each in (tcp, datagrams):
                if host == "::":
                    each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                each.bind((host, port))
            tcp.listen()
            return [tcp, datagrams, socket.socket()]

        tcp, datagrams, self.client = in_namespace(made)
        self.client.settimeout(5)
        self.address = ("10.9.0.1" if host == "::" else host), tcp.getsockname()[1]
        daemon.factory = EchoFactory(FixedWord(b"ok"), daemon.traffic)
        with tcp, datagrams:
            daemon.begin(
                EchoPort.adopt(tcp.fileno(), daemon.factory, reactor=daemon.reactor),
                TimePort.adopt(
                    datagrams.fileno(),
                    TimeProtocol(time.time, daemon.traffic.counters),
                    reactor=daemon.reactor,
                    **udp,
                ),
            )

    def connect(self, daemon: Daemon) -> None:
        """A client comes and goes, with nothing to say."""
        with self.client:
            self.client.connect(self.address)
            self.client.shutdown(socket.SHUT_WR)
            daemon.settle()
            assert self.client.recv(1) == b""


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "10.9.0.1"])
def test_elsewhere(daemon: Daemon, host: str) -> None:
    """Sockets of a network that is not the daemon's are asked, over TCP from when one client has come and gone."""
    there = Elsewhere(daemon, host)
    first = daemon.findings()
    assert [each.verdict for each in first] == [Verdict.UNANSWERED, Verdict.ANSWERED]
    assert first[0].reason == "no connection has ended yet that it could be asked over"
    assert daemon.tcp.spare.wanted
    there.connect(daemon)
    for _ in range(3):
        assert daemon.verdicts() == [Verdict.ANSWERED] * 2
        assert not daemon.tcp.spare.wanted, "no further connection is looked at when it ends"
    assert daemon.traffic.counters == Counters(connections=1, silent=1, health_checks=7)
    assert not daemon.factory.connections
    assert dict(daemon.udp.errors) == {}


def test_elsewhere_nobody_admitted(daemon: Daemon) -> None:
    """A client that is refused does as well."""
    there = Elsewhere(daemon)
    nobody = Access(deny=Networks(map(ipaddress.ip_network, ["0.0.0.0/0", "::/0"])))
    daemon.factory.admission.change(nobody, daemon.factory.admission.limits)
    with there.client:
        there.client.connect(there.address)
        daemon.settle()
        assert there.client.recv(1) == b""
    assert daemon.verdicts() == [Verdict.ANSWERED] * 2
    assert daemon.traffic.counters.refused_connections == 1


@pytest.mark.parametrize("which", [0, 1], ids=["tcp", "udp"])
def test_elsewhere_hung(daemon: Daemon, which: int) -> None:
    """There, too, a hung one is found out without any client."""
    Elsewhere(daemon).connect(daemon)
    assert daemon.verdicts() == [Verdict.ANSWERED] * 2
    (daemon.tcp, daemon.udp)[which].stopReading()
    assert [each is Verdict.HUNG for each in daemon.verdicts()] == [which == 0, which == 1]
    (daemon.tcp, daemon.udp)[which].startReading()
    assert daemon.verdicts() == [Verdict.ANSWERED] * 2
    daemon.settle()
    assert (daemon.traffic.counters.datagrams, daemon.traffic.counters.connections) == (0, 1)


def test_elsewhere_on_a_low_port(daemon: Daemon) -> None:
    """A UDP socket below the ports that are answered asks itself all the same; nobody else on that port is answered."""
    Elsewhere(daemon, "0.0.0.0", 37, lowest_port=1024).client.close()
    assert daemon.verdicts()[1] is Verdict.ANSWERED
    assert dict(daemon.udp.errors) == {}
    assert daemon.udp.filtered


def test_several_listeners(daemon: Daemon) -> None:
    """Each is asked over a connection of its own, all at the same time."""

    def made() -> list[socket.socket]:
        found = [socket.socket() for _ in range(6)]
        for each in found[:3]:
            each.bind(("127.0.0.1", 0))
            each.listen()
        return found

    found = in_namespace(made)
    daemon.factory = EchoFactory(FixedWord(b"ok"), daemon.traffic)
    for sock in found[:3]:
        with sock:
            port = EchoPort.adopt(sock.fileno(), daemon.factory, reactor=daemon.reactor)
            daemon.listeners.append(Listener("tcp", Address("", 0), port))
    daemon.check = HealthCheck(daemon.listeners, daemon.factory, daemon.reactor)
    for number, (listener, client) in enumerate(zip(daemon.listeners, found[3:], strict=True)):
        listener.startService()
        with client:
            client.connect(("127.0.0.1", listener.port.getHost().port))
            client.shutdown(socket.SHUT_WR)
            daemon.settle()
        for _ in range(2):
            found_so_far = [each.verdict is Verdict.ANSWERED for each in daemon.findings()[: number + 1]]
            assert found_so_far == [True] * (number + 1)
