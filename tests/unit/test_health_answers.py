"""Test health/check.py: answers to UDP probes, and other datagrams from the port's own address."""

from __future__ import annotations

import os

import pytest

from echotime.counters import ServiceCounters
from echotime.health.check import HealthStatus
from echotime.net.self_probe import SelfProbe
from echotime.sockopt.assignment import parse
from tests.support.checked_listeners import Daemon


def test_own_datagrams_that_were_not_asked(daemon: Daemon) -> None:
    """Datagrams from the port's own address that belong to no probe are counted and ignored."""
    daemon.serve()
    assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
    own = daemon.udp.socket.getsockname()
    for each in (b"", b"time", os.urandom(16), os.urandom(17)):
        daemon.udp.socket.sendto(each, own)
    daemon.settle()
    assert dict(daemon.udp.errors) == {}
    assert daemon.traffic.counters == ServiceCounters(health_checks=2, refused_own_address=4)


def test_the_answer_is_lost(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost answer is not a hang: our own receive buffer may have been full."""
    daemon.serve()
    monkeypatch.setattr(daemon.udp, "write", lambda datagram, addr: None)
    found = daemon.findings()[1]
    assert (found.status, found.reason) == (HealthStatus.UNANSWERED, "no answer within 1 s")


@pytest.mark.parametrize("forged", [b"", b"timer", b"time"])
def test_forged_answers(daemon: Daemon, forged: bytes) -> None:
    """Forged datagrams from the port's own address during a probe never cause a hang."""
    daemon.serve()
    own = daemon.udp.socket.getsockname()
    for _ in range(3):
        checking = daemon.check.check()
        for _ in range(100):
            daemon.udp.socket.sendto(forged, own)
        (found,) = daemon.wait_for(checking)
        assert found[1].status is not HealthStatus.HUNG, found[1]
    daemon.settle()
    assert daemon.traffic.counters.datagrams == 0


def test_every_close_resets(daemon: Daemon) -> None:
    """With SO_LINGER=0 a discarded answer is not a hang, but an unread queue is."""
    daemon.serve()
    daemon.tcp.set_option(parse("SO_LINGER=0"))
    assert daemon.verdicts()[0] is not HealthStatus.HUNG
    daemon.tcp.stopReading()
    assert daemon.verdicts()[0] is HealthStatus.HUNG
    daemon.tcp.startReading()
    daemon.settle()


def test_replies_are_recognized() -> None:
    """Each probe that was read has one reply, from the probed address, other than the probe, which is judged last."""
    probe, address, answers = SelfProbe(), ("127.0.0.1", 7), iter([True, False, True])
    probe.expect_from(address, lambda datagram: next(answers))
    assert not probe.is_reply(b"abcd", address), "no probe is pending"
    assert not probe.is_probe(b"abcd")
    assert [probe.is_probe(probe.token) for _ in range(2)] == [True, True]
    assert not probe.is_reply(b"abcd", ("127.0.0.1", 8))
    assert not probe.is_reply(probe.token, address)
    assert [probe.is_reply(b"abcd", address) for _ in range(4)] == [True, False, True, False]
