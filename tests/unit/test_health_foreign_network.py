"""Test health/check.py with sockets passed in from another network than the daemon's."""

from __future__ import annotations

import errno
import ipaddress
import re
import select
import socket
import time
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.logger import LogEvent

from echotime.counters import ServiceCounters
from echotime.daemon.ports.listener_service import TCPListenerService
from echotime.health.check import HealthCheck, HealthStatus
from echotime.health.probe_socket import has_network_of, make_probe_socket
from echotime.limits.access import AccessList, Networks
from echotime.net.accepting import RETRY_DELAY
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.services.echo_factory import EchoFactory
from echotime.services.tcp_echo import EchoProtocol
from echotime.services.udp_time import TimeProtocol
from echotime.sockopt.assignment import parse
from echotime.wire.hostport import HostPort
from echotime.wire.message import ACKNOWLEDGEMENT
from tests.support.checked_listeners import Daemon, open_sockets
from tests.support.namespace import in_namespace
from tests.support.twistd_process import LIMIT


class Elsewhere:
    """Pass in a listener and a UDP socket of another network, and provide a client there."""

    def __init__(self, daemon: Daemon, host: str = "::", port: int = 0, reply: bytes = b"ok", **udp: Any) -> None:
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
        self.client.settimeout(LIMIT)
        self.address = ("10.9.0.1" if host == "::" else host), tcp.getsockname()[1]
        daemon.factory = EchoFactory(daemon.traffic, ACKNOWLEDGEMENT + reply)
        with tcp, datagrams:
            assert not has_network_of(tcp)
            daemon.begin(
                EchoPort.adopt(tcp.fileno(), daemon.factory, sockopts=[parse("SO_PRIORITY=5")], reactor=daemon.reactor),
                TimePort.adopt(
                    datagrams.fileno(),
                    TimeProtocol(time.time, daemon.traffic.counters),
                    reactor=daemon.reactor,
                    **udp,
                ),
            )

    def __enter__(self) -> socket.socket:
        self.client.connect(self.address)
        return self.client

    def __exit__(self, *error: object) -> None:
        self.client.close()


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "10.9.0.1"])
def test_elsewhere(daemon: Daemon, host: str, lines: list[str]) -> None:
    """Sockets of another network are probed without a client, and no probe counts as a client."""
    there = Elsewhere(daemon, host)
    lines.clear()
    for _ in range(3):
        assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    assert (daemon.traffic.counters, daemon.tcp.sessionno) == (ServiceCounters(health_checks=6), 0)
    assert lines == []
    with there as client:
        client.sendall(b"hi")
        client.shutdown(socket.SHUT_WR)
        daemon.settle()
        assert client.recv(100) == b"hi" + daemon.factory.trailer
        daemon.settle()
    counters = daemon.traffic.counters
    assert (counters.connections, counters.messages, daemon.tcp.sessionno) == (1, 1, 1)
    assert daemon.tcp.reapplied_options, "no options to reapply"
    assert not daemon.factory.connections
    assert dict(daemon.udp.errors) == {}


def test_elsewhere_nobody_admitted(daemon: Daemon) -> None:
    """Access lists do not apply to the daemon's own probes; others are refused."""
    there = Elsewhere(daemon)
    deny_all = AccessList(deny=Networks(map(ipaddress.ip_network, ["0.0.0.0/0", "::/0"])))
    daemon.factory.admission.set_limits(deny_all, daemon.factory.admission.limits)
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    with there as client:
        daemon.settle()
        assert client.recv(1) == b""
    assert daemon.traffic.counters == ServiceCounters(health_checks=2, refused_connections=1)


def test_elsewhere_hung(daemon: Daemon) -> None:
    """A listener that does not accept is hung once a client is pending; a socketpair alone cannot show it."""
    there = Elsewhere(daemon)
    daemon.reactor._poller.unregister(daemon.tcp.fileno())
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    with there:
        for _ in range(2):
            found = daemon.findings()
            assert [each.status for each in found] == [HealthStatus.HUNG, HealthStatus.ANSWERED]
            assert re.fullmatch(r"1 pending connection, none accepted for 1(\.\d)? s", found[0].reason)
        daemon.reactor._poller.register(daemon.tcp.fileno(), select.EPOLLIN)
        assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    daemon.settle()
    assert daemon.traffic.counters.connections == 1


def test_elsewhere_late(daemon: Daemon) -> None:
    """A listener that accepts a pending client during the check is well."""
    with Elsewhere(daemon):
        daemon.tcp.stopReading()
        resuming = daemon.reactor.callLater(0.75, daemon.tcp.startReading)
        found = daemon.findings()[0]
        assert not resuming.active()
        assert (found.status, found.seconds < 0.75) == (HealthStatus.ANSWERED, True), found
    daemon.settle()


def test_elsewhere_pause(daemon: Daemon) -> None:
    """A pause after an error of accept(2) is not a hang, however short the check is."""
    with Elsewhere(daemon):
        daemon.tcp._pause_accepting()
        (found,) = daemon.wait_for(daemon.check.check(0.1))
        assert daemon.tcp.is_paused
        assert found[0].status is HealthStatus.ANSWERED, found[0]
        daemon.reactor.clock.advance(RETRY_DELAY)
        daemon.settle()
        assert (daemon.tcp.is_paused, daemon.tcp.sessionno) == (False, 1)
    daemon.settle()


def test_elsewhere_hung_udp(daemon: Daemon) -> None:
    """A UDP socket of another network probes itself, so a hang is found without any client."""
    Elsewhere(daemon).client.close()
    daemon.udp.stopReading()
    assert daemon.verdicts() == [HealthStatus.ANSWERED, HealthStatus.HUNG]
    daemon.udp.startReading()
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    assert daemon.traffic.counters.datagrams == 0


def test_elsewhere_shut_down(daemon: Daemon, clean_reactor: list[LogEvent]) -> None:
    """A listener that was shut down is hung, though the probe over the socketpair may be answered."""
    Elsewhere(daemon).client.close()
    daemon.tcp.stopReading()
    daemon.tcp.socket.shutdown(socket.SHUT_RDWR)
    assert daemon.verdicts() == [HealthStatus.HUNG, HealthStatus.ANSWERED]
    clean_reactor.clear()


def test_elsewhere_never_answered(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol that never answers is reported, is not a hang, and leaves nothing open."""
    Elsewhere(daemon).client.close()
    before = open_sockets()
    monkeypatch.setattr(EchoProtocol, "dataReceived", lambda protocol, message: None)
    monkeypatch.setattr(EchoProtocol, "readConnectionLost", lambda protocol: None)
    for _ in range(2):
        found = daemon.findings()[0]
        assert (found.status, found.reason) == (HealthStatus.UNANSWERED, "accepted, but no answer within 1 s")
    daemon.settle()
    assert (open_sockets(), daemon.probe_factory.connections) == (before, set())


@pytest.mark.parametrize("answer", [b"health check", b"health checkX" * 100, b""])
def test_elsewhere_wrong_echo(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """A wrong echo over the socketpair is reported, and is not a hang."""
    Elsewhere(daemon).client.close()
    monkeypatch.setattr(EchoProtocol, "dataReceived", lambda protocol, message: protocol.transport.write(answer))
    found = daemon.findings()[0]
    assert (found.status, found.reason) == (HealthStatus.UNANSWERED, "wrong answer")


def test_elsewhere_large_answer(daemon: Daemon) -> None:
    """An answer larger than the socketpair's buffer is sent in pieces, as to a client."""
    Elsewhere(daemon, reply=b"x" * 1_000_000).client.close()
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2


def test_elsewhere_stop(daemon: Daemon) -> None:
    """A check that is stopped at any point leaves nothing open."""
    Elsewhere(daemon).client.close()
    before = open_sockets()
    for turns in range(4):
        checking = daemon.check.check()
        daemon.reactor.step(turns)
        daemon.check.stop()
        (failure,) = daemon.wait_for(checking)
        if not isinstance(failure, list):
            assert failure.check(CancelledError), failure
        daemon.settle()
        assert open_sockets() == before
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2


def test_elsewhere_no_descriptor(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a free descriptor TCP is not probed, which is not a hang."""

    def none(**kinds: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    Elsewhere(daemon).client.close()
    monkeypatch.setattr("socket.socketpair", none)
    found = daemon.findings()
    assert [each.status for each in found] == [HealthStatus.UNANSWERED, HealthStatus.ANSWERED]
    assert found[0].reason == "Too many open files"


def test_elsewhere_on_a_low_port(daemon: Daemon) -> None:
    """A UDP socket on a low port probes itself; no other datagram from that port is answered."""
    Elsewhere(daemon, "0.0.0.0", 37, min_source_port=1024).client.close()
    assert daemon.verdicts()[1] is HealthStatus.ANSWERED
    assert dict(daemon.udp.errors) == {}
    assert daemon.udp.kernel_filtered


def test_several_listeners(daemon: Daemon) -> None:
    """Several listeners are probed at the same time, each over its own socketpair."""
    daemon.factory = EchoFactory(daemon.traffic)
    for sock in in_namespace(lambda: [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]):
        with sock:
            port = EchoPort.adopt(sock.fileno(), daemon.factory, reactor=daemon.reactor)
            daemon.listeners.append(TCPListenerService(HostPort("", 0), port))
    daemon.check = HealthCheck(daemon.listeners, [], daemon.factory, daemon.reactor)
    for each in daemon.listeners:
        each.startService()
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 3
    assert daemon.traffic.counters == ServiceCounters(health_checks=3)


def test_make_probe_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the listener's network a new socket is bound there; otherwise the kernel's error is raised."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.7", 0))
        listener.listen()
        assert has_network_of(listener)
        with make_probe_socket(listener) as sock:
            assert (sock.getsockname()[0], sock.getblocking()) == ("127.0.0.7", False)
            sock.setblocking(True)
            sock.connect(listener.getsockname())
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("::ffff:127.0.0.7", 0))
        listener.listen()
        with make_probe_socket(listener) as sock:
            assert sock.getsockname()[0] == "::ffff:127.0.0.7"
        monkeypatch.setattr("echotime.health.probe_socket.local_addresses", lambda listener: [("2001:db8::1", 1)])
        with pytest.raises(OSError, match="Cannot assign requested address"):
            make_probe_socket(listener)
