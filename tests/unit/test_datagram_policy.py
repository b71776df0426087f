"""services/datagram_policy.py: every refusal is one rule, is counted, and holds for batches, too."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from echotime.counters import ServiceCounters, declared
from echotime.limits.access import AccessList, Networks
from echotime.limits.datagrams import DatagramBatch
from echotime.limits.udp_rate import RateLimit
from echotime.net.mmsg import Batch
from echotime.net.pktinfo import SourceAddress
from echotime.services.datagram_policy import DatagramPolicy, Rule

NOW = 1_795_343_243
TIME = NOW.to_bytes(4, "big")
CLIENT = ("192.0.2.1", 40_000)


class FakeBatch:
    """A batch of `count` datagrams from CLIENT, one byte long."""

    def __init__(self, count: int = 1, port: int = CLIENT[1], length: int = 1, *, ordinary: bool = True) -> None:
        self.count = count
        self.ordinary_addresses = ordinary
        self._port = port
        self._length = length

    def lengths(self) -> list[int]:
        return [1] * (self.count - 1) + [self._length]

    def source_ports(self) -> list[int]:
        return [CLIENT[1]] * (self.count - 1) + [self._port]

    def hosts(self) -> dict[str, int]:
        return {CLIENT[0]: self.count}


def source(port: int = CLIENT[1], **facts: bool) -> SourceAddress:
    """Return CLIENT's address with what a port may have found out."""
    address = SourceAddress((CLIENT[0], port))
    vars(address).update(facts)
    return address


def make(counters: ServiceCounters | None = None, **parameters: Any) -> DatagramPolicy:
    """Return a policy at the time NOW."""
    return DatagramPolicy(counters or ServiceCounters(), lambda: NOW, **parameters)


def all_rules() -> tuple[Rule, ...]:
    """Return the rules of a policy in which each one is active."""
    policy = make(access=AccessList(deny=Networks([ipaddress.ip_network("192.0.2.0/24")])))
    policy.set_muted(True)
    policy.set_min_source_port(1024)
    return tuple(policy._active_rules())


def test_each_refusal_is_declared_and_counts_as_handled() -> None:
    """Each rule has a counter of its own with a name in the log; each counter of refused datagrams has a rule."""
    counters = [each.counter for each in all_rules()]
    refusals = {each.name for each in declared(ServiceCounters()) if each.log_name and each.handled == "datagram"}
    assert len(counters) == len(set(counters))
    assert set(counters) == refusals


@pytest.mark.parametrize(
    ("prepare", "datagram", "sender", "batch", "counter"),
    [
        (None, b"", source(is_unspecified=True), FakeBatch(ordinary=False), "refused_unspecified_source"),
        (None, b"", source(is_own_address=True), FakeBatch(ordinary=False), "refused_own_address"),
        (None, b"", source(multicast_destination=True), FakeBatch(ordinary=False), "refused_broadcast"),
        (lambda one: one.set_min_source_port(1024), b"", source(1023), FakeBatch(3, 1023), "refused_low_port"),
        (
            lambda one: one.set_min_source_port(1024),
            b"",
            source(1023, ordinary=True),
            FakeBatch(3, 1023),
            "refused_low_port",
        ),
        (
            lambda one: one.set_access(AccessList(deny=Networks([ipaddress.ip_network("192.0.2.0/24")]))),
            b"",
            source(ordinary=True),
            FakeBatch(3),
            "refused_datagrams",
        ),
        (lambda one: one.set_muted(True), b"", source(ordinary=True), FakeBatch(3), "refused_unsynced"),
        (
            lambda one: [one.refusal(TIME, source()) for _ in range(3)],
            TIME,
            source(ordinary=True),
            FakeBatch(3, length=4),
            "refused_loop",
        ),
        (
            lambda one: [one.refusal(b"", source()) for _ in range(10)],
            b"",
            source(ordinary=True),
            FakeBatch(3),
            "refused_rate_limit",
        ),
    ],
)
def test_each_rule(
    prepare: Callable[[DatagramPolicy], Any] | None,
    datagram: bytes,
    sender: SourceAddress,
    batch: DatagramBatch,
    counter: str,
) -> None:
    """A datagram that a rule refuses is counted once; a batch that may hold one is not admitted as a whole."""
    counters = ServiceCounters()
    policy = make(counters, rate_limit=RateLimit(5, lambda: 0.0, uniform=lambda: 0.99))
    assert policy.admits_batch(FakeBatch())
    if prepare is not None:
        prepare(policy)
    before = dict(vars(counters))
    assert not policy.admits_batch(batch)
    assert vars(counters) == before, "a batch that is not admitted counts nothing"
    assert policy.refusal(datagram, sender) == counter
    assert vars(counters) == {**before, counter: before[counter] + 1}
    assert counters.last_refused[counter] == sender.host


def test_datagrams_like_answers_do_not_slow_others() -> None:
    """After any number of datagrams that look like answers, a batch of others is answered as a whole."""
    policy = make()
    for port in range(2000, 12_000):
        policy.refusal(TIME, source(port))
    assert policy.admits_batch(FakeBatch(64, port=3000))


def test_inactive_rules_cost_nothing() -> None:
    """A rule that can refuse nothing is not among the checks, and returns with its reason."""
    policy = make(answer_broadcast=True)
    counters = {counter for _, counter in policy._checks}
    assert counters == {"refused_unspecified_source", "refused_own_address", "refused_loop", "refused_rate_limit"}
    for change, counter in (
        (policy.set_muted, "refused_unsynced"),
        (lambda on: policy.set_min_source_port(1024 if on else 0), "refused_low_port"),
        (lambda on: policy.set_answer_broadcast(not on), "refused_broadcast"),
    ):
        change(True)
        assert {name for _, name in policy._checks} == counters | {counter}
        change(False)
        assert {name for _, name in policy._checks} == counters


def test_rule_without_a_batch_check() -> None:
    """A new rule needs no batch check: each datagram is checked by itself then."""

    class Strict(DatagramPolicy):
        def _active_rules(self) -> Any:
            yield from super()._active_rules()
            yield Rule("refused_datagrams", lambda datagram, _source: datagram == b"no")

    counters = ServiceCounters()
    policy = Strict(counters, lambda: NOW)
    assert policy.one_by_one
    assert not policy.admits_batch(FakeBatch())
    assert [policy.refusal(each, source(ordinary=True)) for each in (b"yes", b"no")] == ["", "refused_datagrams"]
    assert counters == ServiceCounters(refused_datagrams=1)


def test_observed() -> None:
    """While datagrams are logged, each is passed by itself, whatever the rules; no check is made twice."""
    policy = make()
    policy.set_observed(True)
    assert policy.one_by_one
    assert not policy.admits_batch(FakeBatch())
    assert policy.refusal(b"", source(ordinary=True)) == ""
    policy.set_observed(False)
    assert not policy.one_by_one
    assert policy.admits_batch(FakeBatch())


def test_batch_of_the_port() -> None:
    """The batch of recvmmsg(2) has the interface that the policy needs, and is not ordinary before it was checked."""
    batch: DatagramBatch = Batch(1, 2, pktinfo=False)
    assert (batch.count, batch.ordinary_addresses) == (0, False)
    assert not make().admits_batch(batch)


def test_batches_of_high_ports() -> None:
    """A lowest port does not end the check of whole batches: only a batch with a lower port is checked one by one."""
    policy = make()
    policy.set_min_source_port(1024)
    assert not policy.one_by_one
    assert policy.admits_batch(FakeBatch(3, port=1024))
    assert not policy.admits_batch(FakeBatch(3, port=1023))
