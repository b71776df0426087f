"""Test what `echotime path` makes of observations of UDP: pure functions, without a network."""

from __future__ import annotations

import re
import socket

import pytest

from echotime.client.lookup import ResolvedAddress
from echotime.client.path.meanings import MEANINGS
from echotime.client.path.outcome import FarEnd, Outcome
from echotime.client.path.rounds import is_chance
from echotime.client.path.route import Route
from echotime.client.path.session import PathSession
from echotime.client.path.udp import empty as udp_empty
from echotime.client.path.udp import header as udp_header
from echotime.client.path.udp import order as udp_order
from echotime.client.path.udp import ports as udp_ports
from echotime.client.path.udp import served as udp_served
from echotime.client.path.udp import sizes as udp_sizes
from echotime.client.path.udp.sizes import SizeResult
from echotime.wire.hostport import HostPort
from tests.unit.test_path_tcp import ASKED, OWN, ROOT, ids

EF_ECT = 46 << 2 | 2
REPORT = {"peer": "10.9.0.2:40000", "server": "10.9.0.1:7001", "ttl": 64, "tos": EF_ECT, "size": 300}
WHOLE = 1472
OTHER = HostPort("10.9.0.7", 7001)


def served(answers: int, others: list[HostPort], errors: list[str], *, expected: bool = True) -> Outcome:
    """Return the outcome of the first datagrams."""
    return udp_served.judge(answers, others, errors, ASKED, expected=expected)


def test_served() -> None:
    """Silence is a finding only where the server has a UDP service."""
    assert ids(served(1, [], [])) == []
    assert ids(served(1, [OTHER], ["ECONNREFUSED"])) == []
    assert ids(served(0, [], [])) == ["udp-unanswered"]
    assert ids(served(0, [], ["ECONNREFUSED"])) == ["udp-refused"]
    assert ids(served(0, [], ["EHOSTUNREACH"])) == ["udp-unanswered"]
    assert ids(served(0, [OTHER], [])) == ["udp-other-address"]
    assert served(0, [], ["ECONNREFUSED"], expected=False).untested.startswith("refused (ICMP)")
    assert served(0, [], ["EHOSTUNREACH"], expected=False).untested.startswith("no answer")
    assert served(0, [], [], expected=False).untested.startswith("no answer")
    assert ids(served(0, [OTHER], [], expected=False)) == ["udp-other-address"]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"ttl": 50}, []),
        # congestion experienced is what ECN is for
        ({"tos": EF_ECT | 3}, []),
        ({"tos": None, "ttl": None}, []),
        ({"ttl": 255}, ["udp-ttl-changed"]),
        ({"tos": 2}, ["udp-dscp-changed"]),
        ({"tos": 46 << 2}, ["udp-ecn-changed"]),
        ({"tos": 0}, ["udp-dscp-changed", "udp-ecn-changed"]),
        ({"peer": "10.9.0.2:1"}, ["udp-client-port-translated"]),
        ({"peer": "192.0.2.1:1"}, ["udp-client-address-translated"]),
        ({"server": "10.9.0.1:1"}, ["udp-server-address-translated"]),
    ],
)
def test_header(changes: dict[str, object], found: list[str]) -> None:
    """A router may lower the TTL and mark congestion, and nothing else."""
    assert ids(udp_header.judge(OWN, ASKED, {**REPORT, **changes}, 64)) == found  # type: ignore[dict-item]


def test_empty() -> None:
    """Empty datagrams without an answer are a finding only if all others have one."""
    assert ids(udp_empty.judge(4, 4)) == []
    assert ids(udp_empty.judge(1, 4)) == []
    assert ids(udp_empty.judge(0, 4)) == ["udp-empty-lost"]
    assert udp_empty.judge(0, 3).untested


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        (range(300, 310), []),
        ([None] * 10, []),
        (range(300, 309), ["udp-lost"]),
        ([None] * 9, ["udp-lost"]),
        ([*range(300, 310), 303], ["udp-duplicated"]),
        ([None] * 11, ["udp-duplicated"]),
        # two may overtake within a busy host
        ([301, 300, 303, 302, *range(304, 310)], []),
        ([301, 300, 303, 302, 305, 304, *range(306, 310)], ["udp-reordered"]),
        # a duplicate that comes late is no reordering
        ([*range(300, 310), 300, 301, 302, 303], ["udp-duplicated"]),
        ([], ["udp-lost"]),
    ],
)
def test_order(numbers: list[int | None], found: list[str]) -> None:
    """Lost, duplicated and reordered answers to ten datagrams are findings."""
    assert ids(udp_order.judge(10, list(numbers))) == found


def sizes(lost: set[int], *, tries: int = 6, arrived: dict[int, int] | None = None) -> dict[int, SizeResult]:
    """Return results in which these sizes have no answer."""
    known = arrived or {}
    return {
        size: SizeResult(tries if size in lost else 1, size not in lost, known.get(size))
        for size in (1, 300, 1400, WHOLE, WHOLE + 1, 4000, 65507)
    }


@pytest.mark.parametrize(
    ("results", "loss", "found"),
    [
        (sizes(set()), 0.0, []),
        (sizes({WHOLE + 1, 4000, 65507}), 0.0, ["udp-fragments-lost"]),
        (sizes({WHOLE, WHOLE + 1, 4000, 65507}), 0.0, ["udp-size-lost"]),
        (sizes({300}), 0.0, ["udp-size-lost"]),
        # 46 packets have to arrive: with 5% loss that is rare
        (sizes({65507}), 0.05, []),
        (sizes({4000, 65507}), 0.01, ["udp-fragments-lost"]),
        (sizes({1400, WHOLE, WHOLE + 1, 4000, 65507}), 0.5, []),
        (sizes(set(), arrived={4000: 1500}), 0.0, ["udp-truncated"]),
        (sizes(set(), arrived={4000: 4000, 300: 300}), 0.0, []),
    ],
)
def test_sizes(results: dict[int, SizeResult], loss: float, found: list[str]) -> None:
    """Sizes without an answer are a finding unless chance explains it."""
    assert ids(udp_sizes.judge(results, WHOLE, loss)) == found


def test_sizes_of_answers() -> None:
    """Answers that are lost are told apart from datagrams."""
    assert ids(udp_sizes.judge_answers(sizes(set()), WHOLE, 0.0)) == []
    outcome = udp_sizes.judge_answers(sizes({4000, 65507}), WHOLE, 0.0)
    assert ids(outcome) == ["udp-fragments-lost"]
    assert outcome.findings[0].values["answers"]


def ports(dead: int, tries: int = 8, others: int = 1) -> tuple[dict[int, int], frozenset[int]]:
    """Return the tries of 32 ports, and those that were answered."""
    counts = {number: tries if number < dead else others for number in range(32)}
    return counts, frozenset(range(dead, 32))


@pytest.mark.parametrize(
    ("observed", "loss", "found"),
    [
        (ports(0), 0.0, []),
        (ports(8), 0.0, ["udp-port-lost"]),
        (ports(1), 0.1, ["udp-port-lost"]),
        (ports(1), 0.4, []),
        # the others needed many tries, too
        (ports(1, others=4), 0.0, []),
        (ports(32), 0.0, []),
        (ports(30), 0.0, []),
    ],
)
def test_ports(observed: tuple[dict[int, int], frozenset[int]], loss: float, found: list[str]) -> None:
    """Ports without an answer are a finding unless chance explains it."""
    assert ids(udp_ports.judge(*observed, loss)) == found


def test_good_ports() -> None:
    """Datagrams leave from ports that are answered, in turn, once some were found dead."""
    route = Route(None, ResolvedAddress(socket.AF_INET, *ASKED), FarEnd("1.0", b"", {}, OWN))
    assert [route.udp_port() for _number in range(2)] == [0, 0]
    route.good_udp_ports.extend([1, 2, 3])
    assert sorted(route.udp_port() for _number in range(3)) == [1, 2, 3]
    assert route.udp_port() in {1, 2, 3}


def test_chance() -> None:
    """Without loss nothing is chance. With loss, more packets make more of it, and more tries less."""
    assert not is_chance(0.0, 100, 1)
    assert is_chance(0.1, 1, 3)
    assert not is_chance(0.1, 1, 5)
    assert is_chance(0.1, 10, 5)
    assert is_chance(0.1, 1, 5, cases=100)


def test_every_finding_is_documented() -> None:
    """docs/path.md has a row for each experiment, and names all findings that one can have, and no others."""
    modules = (ROOT / "echotime/client/path").rglob("*.py")
    source = "".join(each.read_text(encoding="utf-8") for each in modules if each.name != "meanings.py")
    table = (ROOT / "docs/path.md").read_text(encoding="utf-8").partition("## What proxies")[0]
    for name in MEANINGS:
        assert f"`{name}`" in table
        assert name.removeprefix("udp-") in source
    rows = re.findall(r"^\| (\S[^|]*\S) \|", table.partition("## Tests and findings")[2], re.MULTILINE)
    session = PathSession(None, ResolvedAddress(socket.AF_INET, "127.0.0.1", 7001), 1.0)
    assert sorted(rows[1:]) == sorted(session._order)
