"""Derive the connection limits from the limit of open descriptors (RLIMIT_NOFILE)."""

from __future__ import annotations

import resource
from typing import NamedTuple

from echotime.limits.admission import AdmissionLimits

RESERVED_FDS = 64
"""Descriptors reserved for listeners, operators, the log, and connections that are being evicted."""
_PER_SOURCE_DIVISOR = 4
"""By default one source may have the connection limit divided by this number."""
_MAX_DESCRIPTORS = 2**20
"""Number used for RLIM_INFINITY: the usual value of fs.nr_open."""


class Capacity(NamedTuple):
    """Hold the requested and the possible number of connections."""

    requested: int | None
    """The value of --max-connections, None if it was not given."""
    limits: AdmissionLimits
    descriptors: int
    """The limit of open descriptors."""


_limits_before: dict[int, int] = {}
"""The soft limits of descriptors that this process has set, each with the one that the process was started with."""


def compute_capacity(connections: int | None, per_source: int | None) -> Capacity:
    """Return the limits for the requested connections. Raise the soft limit of descriptors only if they need it.

    A soft limit that was raised for an earlier request does not count, so that a reload has the result of a start.
    """
    descriptors = _raise_fd_limit(connections)
    available = descriptors - min(RESERVED_FDS, descriptors // 2)
    maximum = available if connections is None else min(connections, available)
    # half of the remaining descriptors is for evicted connections that are not closed yet
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
    initial = _limits_before.get(soft, soft)
    wanted = initial if connections is None else max(initial, min(hard, connections + RESERVED_FDS))
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _limits_before[wanted] = initial
    return wanted
