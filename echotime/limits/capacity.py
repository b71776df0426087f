"""The limits of connections: how many there is room for, said at start, and the timeouts, kept while it runs."""

from __future__ import annotations

import resource
from typing import NamedTuple

from echotime.limits.admission import AdmissionLimits

RESERVED_FDS = 64
"""Descriptors that are left for all else: listeners, operators, the log; and connections that are being ended."""
_PER_SOURCE_DIVISOR = 4
"""Of all connections one source may have this part, where nothing else was asked."""
_MAX_DESCRIPTORS = 2**20
"""What stands for no limit: fs.nr_open, mostly."""


class Capacity(NamedTuple):
    """How many connections there may be, and why; `descriptors` is the limit of them."""

    requested: int | None
    limits: AdmissionLimits
    descriptors: int


def compute_capacity(connections: int | None, per_source: int | None) -> Capacity:
    """What fits, of what was asked. The limit of descriptors is raised for what was asked alone."""
    descriptors = _raise_fd_limit(connections)
    available = descriptors - min(RESERVED_FDS, descriptors // 2)
    maximum = available if connections is None else min(connections, available)
    # half of what is left is for those that gave way, and are not over yet
    return Capacity(
        connections,
        AdmissionLimits(maximum, per_source or max(1, maximum // _PER_SOURCE_DIVISOR), (descriptors - maximum) // 2),
        descriptors,
    )


def _raise_fd_limit(connections: int | None) -> int:
    soft, hard = (
        _MAX_DESCRIPTORS if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    wanted = soft if connections is None else min(hard, connections + RESERVED_FDS)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(wanted, soft)
