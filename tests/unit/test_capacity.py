"""Test limits/capacity.py: the connection limit that the descriptor limit allows."""

from __future__ import annotations

import resource
import socket

import pytest
from twisted.internet.selectreactor import SelectReactor

from echotime.limits import capacity
from echotime.limits.admission import AdmissionLimits
from tests.support.loopback import open_descriptors

OVERHEAD = 20


@pytest.mark.parametrize(
    ("soft", "hard", "requested", "per_source", "expected"),
    [
        (1024, 4096, None, None, (960, 240, 1024)),
        (1024, 4096, 100, None, (100, 25, 1024)),
        (1024, 4096, 2000, None, (2000, 500, 2064)),
        (1024, 1024, 2000, None, (960, 240, 1024)),
        (1024, 1024, None, 7, (960, 7, 1024)),
        (64, 64, None, None, (32, 8, 64)),
        (30, 4096, None, None, (9, 2, 30)),
        (22, 22, None, None, (1, 1, 22)),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, None, (2**20 - 64, (2**20 - 64) // 4, 2**20)),
    ],
)
def test_room(
    monkeypatch: pytest.MonkeyPatch,
    soft: int,
    hard: int,
    requested: int | None,
    per_source: int | None,
    expected: tuple[int, int, int],
) -> None:
    """Some descriptors stay reserved, and the descriptor limit is raised for a requested number, if allowed."""
    now = limit(monkeypatch, soft, hard)
    found = capacity.compute_capacity(requested, per_source, OVERHEAD)
    leaving = expected[2] - expected[0] - OVERHEAD
    limits = AdmissionLimits(*expected[:2], leaving)
    assert found == capacity.Capacity(requested, limits, expected[2], f"RLIMIT_NOFILE is {expected[2]}")
    assert (now[-1][0] > soft) == (expected[2] > soft > 0)


def limit(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> list[tuple[int, int]]:
    """Pretend these limits, and return the list of all limits set since, the first included."""
    limits = [(soft, hard)]

    def set_limit(which: int, new: tuple[int, int]) -> None:
        assert new[0] <= limits[-1][1] == new[1]
        limits.append(new)

    monkeypatch.setattr(resource, "getrlimit", lambda which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    return limits


def test_many_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reserve grows with what is needed apart from connections."""
    limit(monkeypatch, 1024, 1024)
    assert capacity.compute_capacity(None, None, 300).limits == AdmissionLimits(708, 177, 16)
    assert capacity.compute_capacity(None, None, 1022).limits == AdmissionLimits(1, 1, 1)


def test_fewer_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that was lowered while the daemon runs still gives limits that admit a connection."""
    limit(monkeypatch, 10, 10)
    assert capacity.compute_capacity(500, None, OVERHEAD).limits == AdmissionLimits(1, 1, 1)


def test_select(monkeypatch: pytest.MonkeyPatch) -> None:
    """select(2) watches 1024 descriptors, whatever the process may open."""
    limit(monkeypatch, 20000, 20000)
    reactor = SelectReactor.__new__(SelectReactor)
    found = capacity.compute_capacity(5000, None, OVERHEAD, reactor)
    assert (found.limits.max_connections, found.cause) == (960, "select(2) is limited to 1024 descriptors")
    assert capacity.compute_capacity(5000, None, OVERHEAD, object()).limits.max_connections == 5000


def test_overhead() -> None:
    """The open descriptors are counted, and those that will be opened."""
    before = capacity.count_overhead(1, 0)
    opened = open_descriptors() - 1  # one of them read the directory
    assert before == opened + capacity._OPENED_LATER + capacity._PER_LISTENER
    with socket.socket():
        assert capacity.count_overhead(3, 5) == before + 1 + 2 * 3 + 5
