"""Test limits/capacity.py: the connection limit that the descriptor limit allows."""

from __future__ import annotations

import resource

import pytest

from echotime.limits import capacity
from echotime.limits.admission import AdmissionLimits


@pytest.mark.parametrize(
    ("soft", "hard", "requested", "per_source", "expected"),
    [
        (1024, 4096, None, None, (960, 240, 1024)),
        (1024, 4096, 100, None, (100, 25, 1024)),
        (1024, 4096, 2000, None, (2000, 500, 2064)),
        (1024, 1024, 2000, None, (960, 240, 1024)),
        (1024, 1024, None, 7, (960, 7, 1024)),
        (64, 64, None, None, (32, 8, 64)),
        (20, 4096, None, None, (10, 2, 20)),
        (2, 2, None, None, (1, 1, 2)),
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
    now = soft, hard

    def set_limit(which: int, new: tuple[int, int]) -> None:
        nonlocal now
        assert new[0] <= now[1] == new[1]
        now = new

    monkeypatch.setattr(resource, "getrlimit", lambda which: now)
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    found = capacity.compute_capacity(requested, per_source)
    leaving = (expected[2] - expected[0]) // 2
    assert found == capacity.Capacity(requested, AdmissionLimits(*expected[:2], leaving), expected[2])
    assert (now[0] > soft) == (expected[2] > soft > 0)
