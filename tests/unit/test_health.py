"""Test health/check.py: every listener is probed, and a hung one is told from an unanswered probe."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.logger import LogEvent

from echotime.counters import ServiceCounters
from echotime.health.check import HealthStatus
from echotime.health.queue_progress import QueueState
from echotime.limits.access import AccessList, Networks
from echotime.net import bpf
from echotime.services.tcp_echo import EchoProtocol
from echotime.wire import timestamp
from tests.support.checked_listeners import Daemon

HUNG = (r"\d pending connections?, none accepted for 1(\.\d)? s", r"pending datagrams, none read for 1(\.\d)? s")
"""Reasons for TCP and UDP."""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "127.0.0.7"])
def test_answered(daemon: Daemon, host: str, lines: list[str]) -> None:
    """A serving daemon answers its probes wherever it listens, at the cost of one count and no log line."""
    daemon.serve(host, host)
    lines.clear()
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    assert daemon.traffic.counters == ServiceCounters(health_checks=2)
    assert lines == []
    assert not daemon.factory.connections


def test_named_as_in_the_log(daemon: Daemon) -> None:
    """A result has the listener's name and the duration."""
    daemon.serve()
    found = daemon.findings()
    assert str(found[0]).startswith(f"TCP 127.0.0.1:{daemon.tcp.getHost().port}: answered in ")
    assert str(found[1]).startswith(f"UDP 127.0.0.1:{daemon.udp.getHost().port}: answered in ")


def test_nobody_admitted(daemon: Daemon) -> None:
    """Access lists do not apply to the daemon's own probes, and no refusal is counted."""
    daemon.serve(access=AccessList(deny=Networks(map(ipaddress.ip_network, ["0.0.0.0/0", "::/0"]))))
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    assert daemon.traffic.counters == ServiceCounters(health_checks=2)
    with socket.create_connection(("127.0.0.1", daemon.tcp.getHost().port)):
        daemon.settle()
    assert daemon.traffic.counters.refused_connections == 1, "others are refused as before"


def test_operator_is_not_asked(daemon: Daemon) -> None:
    """A probe never reaches the reply source."""

    class NoSource:
        def reply_to(self, message: bytes, peer: object) -> bytes:
            raise AssertionError("the reply source was called")

    daemon.serve(reply_source=NoSource())  # type: ignore[arg-type]
    assert daemon.verdicts()[0] is HealthStatus.ANSWERED


@pytest.mark.parametrize("which", [0, 1], ids=["tcp", "udp"])
def test_hung(daemon: Daemon, which: int) -> None:
    """A listener that is not read is hung, the other one is not, and it recovers when read again."""
    daemon.serve()
    port = (daemon.tcp, daemon.udp)[which]
    port.stopReading()
    for _ in range(3):
        found = daemon.findings()
        assert [each.status is HealthStatus.HUNG for each in found] == [which == 0, which == 1]
        assert re.fullmatch(HUNG[which], found[which].reason), found[which].reason
    port.startReading()
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    daemon.settle()
    counters = daemon.traffic.counters
    assert counters == ServiceCounters(health_checks=counters.health_checks), "late probes are not counted as clients"
    assert not daemon.probe_factory.expected
    assert not daemon.udp.protocol.policy._guard._answered


@pytest.mark.parametrize("which", [0, 1], ids=["tcp", "udp"])
def test_shut_down(daemon: Daemon, which: int, clean_reactor: list[LogEvent]) -> None:
    """A socket that another process shut down is hung, whether its port has noticed or not."""
    daemon.serve()
    port = (daemon.tcp, daemon.udp)[which]
    with port.socket.dup() as other, suppress(OSError):  # UDP reports ENOTCONN, and is shut down all the same
        other.shutdown(socket.SHUT_RDWR)
    assert daemon.verdicts()[which] is HealthStatus.HUNG
    assert daemon.verdicts()[1 - which] is HealthStatus.ANSWERED
    clean_reactor.clear()


def test_closed(daemon: Daemon) -> None:
    """A closed port is hung, and keeps its name."""
    daemon.serve()
    name = daemon.listeners[1].label
    daemon.udp.stopListening()
    daemon.settle()
    found = daemon.findings()[1]
    assert (found.listener, found.status, found.reason) == (name, HealthStatus.HUNG, "the port is closed")


def test_not_reached(daemon: Daemon) -> None:
    """A probe that a firewall or device filters is not a hang."""
    daemon.serve()
    for port in (daemon.tcp, daemon.udp):
        bpf.attach(port.socket, 65535)
    found = daemon.findings()
    assert [each.status for each in found] == [HealthStatus.UNANSWERED] * 2
    assert [each.reason for each in found] == ["no answer within 1 s"] * 2


@pytest.mark.parametrize("which", [0, 1], ids=["tcp", "udp"])
def test_unread_without_a_client(daemon: Daemon, which: int) -> None:
    """A port that the reactor does not read is hung, though nothing is pending and no probe can reach it."""
    daemon.serve()
    port = (daemon.tcp, daemon.udp)[which]
    bpf.attach(port.socket, 65535)
    port.stopReading()
    found = daemon.findings()[which]
    assert found.status is HealthStatus.HUNG
    assert re.fullmatch(r"the reactor does not read the socket for 1(\.\d)? s", found.reason)
    port.startReading()
    assert daemon.verdicts()[which] is HealthStatus.UNANSWERED


def test_probe_reaches_another_socket(daemon: Daemon) -> None:
    """A UDP listener whose probe goes to another socket on its port is not answered."""
    daemon.serve(udp="0.0.0.0")
    daemon.udp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", daemon.udp.getHost().port))
        assert daemon.verdicts() == [HealthStatus.ANSWERED, HealthStatus.UNANSWERED]
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2


def test_busy(daemon: Daemon) -> None:
    """A listener that accepts others is not hung, though its probe is not answered in time."""
    daemon.serve()
    daemon.tcp.stopReading()
    address = ("127.0.0.1", daemon.tcp.getHost().port)
    others = [socket.create_connection(address) for _ in range(3)]
    daemon.tcp.numberAccepts = 1
    taking = daemon.reactor.callLater(1.3, daemon.tcp.doRead)
    assert daemon.verdicts() == [HealthStatus.UNANSWERED, HealthStatus.ANSWERED]
    assert not taking.active()
    daemon.tcp.startReading()
    daemon.settle()
    for each in others:
        each.close()
    daemon.settle()


def test_busy_with_datagrams(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A UDP listener under a flood is not hung while it answers others."""
    daemon.serve()
    counters = daemon.traffic.counters
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", daemon.udp.getHost().port))
        for _ in range(1000):
            sock.send(b"x")
        for progress, verdict in ((1, HealthStatus.UNANSWERED), (0, HealthStatus.HUNG)):
            # a queue that refills at once, or one that is never read
            monkeypatch.setattr(
                type(daemon.udp),
                "doRead",
                lambda port, progress=progress: setattr(counters, "datagrams", counters.datagrams + progress),
            )
            assert daemon.verdicts() == [HealthStatus.ANSWERED, verdict]
        monkeypatch.undo()
        daemon.settle()
        assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2


def test_wrong_answer(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong answer to a UDP probe is ignored, as it might be forged by an IPv6 neighbor."""
    daemon.serve()
    monkeypatch.setattr(timestamp, "pack", lambda now, epoch: b"time")
    assert daemon.verdicts()[1] is HealthStatus.ANSWERED
    monkeypatch.setattr(timestamp, "pack", lambda now, epoch: b"times")
    found = daemon.findings()[1]
    assert (found.status, found.reason) == (HealthStatus.UNANSWERED, "no answer within 1 s")


@pytest.mark.parametrize("answer", [b"health check", b"health checkX" * 100, b""])
def test_wrong_echo(daemon: Daemon, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    """A wrong echo is reported but is no hang: the connection was accepted."""
    daemon.serve()

    probe_factory: Any = daemon.probe_factory
    build = probe_factory.buildProtocol

    def wrong(addr: Any) -> Any:
        protocol = build(addr)
        if protocol is not None:
            protocol.dataReceived = lambda message: protocol.transport.write(answer)
        return protocol

    monkeypatch.setattr(probe_factory, "buildProtocol", wrong)
    found = daemon.findings()[0]
    assert (found.status, found.reason) == (HealthStatus.UNANSWERED, "wrong answer")


def test_shared(daemon: Daemon) -> None:
    """A second caller shares the results of the current check, and each listener is probed once."""
    daemon.serve()
    first, second = daemon.check.check(), daemon.check.check()
    assert daemon.wait_for(first) == daemon.wait_for(second)
    assert daemon.traffic.counters.health_checks == 2


def test_stop(daemon: Daemon) -> None:
    """A stopped check leaves nothing open and cancels all callers, and the next check is a new one."""
    daemon.serve()
    checks = [daemon.check.check(), daemon.check.check()]
    daemon.reactor.step()
    daemon.check.stop()
    for each in checks:
        (failure,) = daemon.wait_for(each)
        assert failure.check(CancelledError), failure
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2


def test_one_gives_up(daemon: Daemon) -> None:
    """One of two callers may cancel, and the other still gets the results."""
    daemon.serve()
    first, second = daemon.check.check(), daemon.check.check()
    first.cancel()
    (failure,) = daemon.wait_for(first)
    assert failure.check(CancelledError)
    (found,) = daemon.wait_for(second)
    assert [each.status for each in found] == [HealthStatus.ANSWERED] * 2


def test_no_socket_to_ask_with(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without internet sockets TCP is not probed, which is not a hang; a UDP socket probes itself."""
    daemon.serve()
    original: Callable[..., Any] = socket.socket.__init__

    def refused(self: socket.socket, family: int = -1, *args: Any, **named: Any) -> None:
        if family in {socket.AF_INET, socket.AF_INET6} and named.get("fileno") is None and len(args) < 3:
            raise OSError(97, "Address family not supported by protocol")
        original(self, family, *args, **named)

    monkeypatch.setattr(socket.socket, "__init__", refused)
    found = daemon.findings()
    monkeypatch.undo()
    assert [each.status for each in found] == [HealthStatus.UNANSWERED, HealthStatus.ANSWERED]
    assert found[0].reason == "Address family not supported by protocol"


def test_made_progress() -> None:
    """More served is progress; more or fewer pending is not, as another process may have served those."""
    before = QueueState(5, 7, "")
    assert before.made_progress(QueueState(6, 8, ""))
    for pending in (4, 5, 9):
        assert not before.made_progress(QueueState(pending, 7, ""))
    assert QueueState(1, 7, "").must_progress
    assert QueueState(0, 7, "", is_read=False).must_progress
    assert not QueueState(0, 7, "").must_progress


def test_never_answered(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that is accepted and never answered is not a hang, as the check cannot tell."""
    daemon.serve()
    monkeypatch.setattr(EchoProtocol, "dataReceived", lambda protocol, message: None)
    monkeypatch.setattr(EchoProtocol, "readConnectionLost", lambda protocol: None)
    found = daemon.findings()[0]
    assert (found.status, found.reason) == (HealthStatus.UNANSWERED, "accepted, but no answer within 1 s")
    for each in list(daemon.probe_factory.connections):
        each.reset("test")
