"""Test what `echotime path` makes of observations of UDP: pure functions, without a network."""

from __future__ import annotations

import gc
import re
import socket
from typing import Any, ClassVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from echotime.client.lookup import ResolvedAddress
from echotime.client.path import rounds
from echotime.client.path.meanings import MEANINGS
from echotime.client.path.outcome import FarEnd, Outcome
from echotime.client.path.rounds import Asked, ask_in_rounds, is_chance
from echotime.client.path.route import Route
from echotime.client.path.session import PathSession
from echotime.client.path.udp import empty as udp_empty
from echotime.client.path.udp import header as udp_header
from echotime.client.path.udp import order as udp_order
from echotime.client.path.udp import ports as udp_ports
from echotime.client.path.udp import served as udp_served
from echotime.client.path.udp import sizes as udp_sizes
from echotime.client.path.udp.datagrams import Arrival
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
    assert served(0, [], ["ECONNREFUSED"], expected=False).untested
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


@pytest.mark.parametrize("largest_whole", [48, 40, 8, 2, -8])
def test_small_mtu(largest_whole: int) -> None:
    """A route may have any MTU, even below the size of a header."""
    assert ids(udp_sizes.judge({100: SizeResult(6, False)}, largest_whole, 0.0)) == ["udp-fragments-lost"]
    assert udp_sizes.judge({100: SizeResult(1, False)}, largest_whole, 0.1).untested
    assert min(udp_sizes.sizes_to_send(largest_whole)) == 1


def test_fragments() -> None:
    """A datagram above the MTU counts with as many packets as the kernel makes of it, or one more."""
    assert udp_sizes.packets(1, 1472) == 1
    assert udp_sizes.packets(1473, 1472) == 2
    assert udp_sizes.packets(65507, 1472) == 45
    # IPv6 over Ethernet: 1448 bytes in each fragment
    assert udp_sizes.packets(65507, 1452) == 46


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


class _Answered:
    """Stand for a socket whose datagrams are all answered at once."""

    open_ports: ClassVar[set[int]] = set()
    sent: ClassVar[list[tuple[int, bytes]]] = []

    def __init__(self, reactor: Any, address: ResolvedAddress, port: int) -> None:
        assert port not in self.open_ports, "EADDRINUSE"
        self.open_ports.add(port)
        self.port = port
        self.answers: list[Arrival] = []

    def send(self, data: bytes) -> None:
        """Send a datagram, and have its answer."""
        self.sent.append((self.port, data))
        self.answers.append(Arrival(0.0, data, ASKED))

    async def wait_for_answer(self, seconds: float) -> bool:
        """Return that there is an answer."""
        return True

    def close(self) -> None:
        """Free the port for another socket."""
        self.open_ports.remove(self.port)


def ask(good_ports: list[int], requests: list[bytes]) -> list[Asked]:
    """Return what became of datagrams, if these ports are known to be answered."""
    route = Route(MemoryReactorClock(), ResolvedAddress(socket.AF_INET, "127.0.0.1", 9), FarEnd("", b"", {}, OWN))
    route.good_udp_ports.extend(good_ports)
    results: list[list[Asked]] = []
    failures: list[Failure] = []
    Deferred.fromCoroutine(ask_in_rounds(route, requests, 2)).addCallbacks(results.append, failures.append)
    for each in failures:
        each.raiseException()
    return results[0]


def test_few_good_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer good ports than datagrams, each port is used again after its socket was closed."""
    monkeypatch.setattr(rounds, "Datagrams", _Answered)
    monkeypatch.setattr(_Answered, "sent", [])
    requests = [b"%d" % number for number in range(14)]
    asked = ask([5001, 5002, 5003, 5004], requests)
    assert [(each.port, each.answers[0].data) for each in asked] == _Answered.sent
    assert [each.answers[0].data for each in asked] == requests
    assert {each.port for each in asked} == {5001, 5002, 5003, 5004}
    assert not _Answered.open_ports


def test_port_in_use() -> None:
    """If another program has taken a good port, no socket stays open. One would be a ResourceWarning."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        with pytest.raises(OSError, match="Address already in use"):
            ask([taken.getsockname()[1], 0], [b"x"] * 2)
    gc.collect()


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
