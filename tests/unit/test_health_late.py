"""Test health/check.py with late probes and answers, on a slow reactor, host or network."""

from __future__ import annotations

import socket

import pytest

from echotime.counters import ServiceCounters
from echotime.health.check import HealthStatus, ProbeResult
from echotime.health.probes import MAX_SEGMENT_LIFETIME
from echotime.net import bpf
from tests.support.checked_listeners import Daemon
from tests.support.namespace import in_namespace
from tests.support.slow_network import ADDRESS, slow_network
from tests.support.stepping_reactor import reset

_SO_DETACH_FILTER = 27


def busy_check(daemon: Daemon, stall: float) -> list[ProbeResult]:
    """Run a check while the reactor is busy for `stall` seconds per turn: all timers fire late, before any I/O."""
    results: list[list[ProbeResult]] = []
    daemon.check.check().addCallback(results.append)
    for _ in range(100):
        daemon.reactor.clock.advance(stall)
        daemon.reactor.doIteration(0)
        if results:
            return results[0]
    raise AssertionError("the check did not end")


@pytest.mark.parametrize("stall", [0.3, 0.6, 2.0])
def test_busy_reactor(daemon: Daemon, stall: float) -> None:
    """A busy reactor is not hung: the daemon serves in each of its turns, however few they are."""
    daemon.serve()
    for _ in range(3):
        assert HealthStatus.HUNG not in {each.status for each in busy_check(daemon, stall)}
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    counters = daemon.traffic.counters
    assert counters == ServiceCounters(health_checks=counters.health_checks), "late probes are counted as clients"


@pytest.mark.parametrize("which", [0, 1], ids=["tcp", "udp"])
def test_busy_and_hung(daemon: Daemon, which: int) -> None:
    """A port that is not read is found while the reactor is busy, too."""
    daemon.serve()
    port = (daemon.tcp, daemon.udp)[which]
    port.stopReading()
    found = busy_check(daemon, 2.0)
    assert [each.status is HealthStatus.HUNG for each in found] == [which == 0, which == 1]
    port.startReading()
    daemon.settle()


@pytest.mark.parametrize("delay", [0.2, 0.3, 0.4, 0.7, 1.5])
def test_slow_network(daemon: Daemon, delay: float) -> None:
    """A slow network is not a hang, and a late probe or answer is not a client's."""

    def scenario() -> None:
        with slow_network(daemon.reactor, delay) as network:
            daemon.serve(ADDRESS, ADDRESS)
            for _ in range(3):
                results: list[list[ProbeResult]] = []
                daemon.check.check().addCallback(results.append)
                while not results:
                    network.turn()
                assert HealthStatus.HUNG not in {each.status for each in results[0]}, results
            for _ in range(1000):
                network.turn()
            daemon.stop()

    in_namespace(scenario)
    counters = daemon.traffic.counters
    assert counters == ServiceCounters(health_checks=counters.health_checks)
    assert dict(daemon.udp.errors) == {}


def give_up(daemon: Daemon) -> tuple[str, int]:
    """Let a TCP probe time out before it arrives, and return its source address."""
    bpf.attach(daemon.tcp.socket, 65535)
    checking = daemon.check.check()
    expected: set[tuple[str, int]] = daemon.probe_factory.expected
    (source,) = expected
    daemon.wait_for(checking)
    daemon.tcp.socket.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    return source


def arrive(daemon: Daemon, source: tuple[str, int]) -> None:
    """Connect from the source address of a late probe, and check the answer."""
    with socket.socket() as late:
        late.bind(source)
        late.connect(("127.0.0.1", daemon.tcp.getHost().port))
        late.sendall(b"health check")
        daemon.settle()
        assert late.recv(100).startswith(b"health check")
        reset(late)
    daemon.settle()


def test_arrives_after_later_ones(daemon: Daemon) -> None:
    """A timed-out TCP probe stays known until it arrives, and only once."""
    daemon.serve()
    source = give_up(daemon)
    for _ in range(2):
        assert daemon.verdicts()[0] is HealthStatus.ANSWERED
    arrive(daemon, source)
    assert daemon.traffic.counters == ServiceCounters(health_checks=6)
    arrive(daemon, source)
    assert daemon.factory.counters().connections == 1, "a second connection from there is a client"


def test_never_arrives(daemon: Daemon) -> None:
    """A timed-out probe is forgotten when it can be neither in the network nor in the accept queue."""
    daemon.serve()
    source = give_up(daemon)
    daemon.reactor.clock.advance(MAX_SEGMENT_LIFETIME)
    daemon.tcp.stopReading()
    with socket.create_connection(("127.0.0.1", daemon.tcp.getHost().port)):
        daemon.findings()
        assert source in daemon.probe_factory.expected
    daemon.tcp.startReading()
    daemon.settle()
    daemon.findings()
    assert source not in daemon.probe_factory.expected
    assert daemon.traffic.counters.connections == 1
