"""Derive the connection limits from the descriptors that the process and its reactor can use."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.selectreactor import SelectReactor

from echotime.limits.admission import AdmissionLimits

RESERVED_FDS = 64
"""Descriptors that are not used for connections, at least, if the limit is 128 or more."""
_OPENED_LATER = 12
"""Descriptors that are opened after the start: for signals, the log, the terminal, files, and those in reserve."""
_PER_LISTENER = 3
"""Descriptors of one listener: its socket, and both ends of a health check's connection."""
MAX_HTTP_CONNECTIONS = 64
"""Connections to one HTTP listener. A further one evicts the one that has waited longest for a request."""
FDS_PER_HTTP_LISTENER = 2 + MAX_HTTP_CONNECTIONS
"""Descriptors of one HTTP listener: its socket, its connections, and one that is accepted before another is closed."""
_MIN_EVICTING = 16
"""Connections that may be evicted at a time, at least, if the limit is high enough."""
_PER_SOURCE_DIVISOR = 4
"""By default one source may have the connection limit divided by this number."""
_MAX_DESCRIPTORS = 2**20
"""Number used for RLIM_INFINITY: the usual value of fs.nr_open."""
_FD_SETSIZE = 1024
"""Descriptors that select(2) can watch."""


class Capacity(NamedTuple):
    """Hold the requested and the possible number of connections."""

    requested: int | None
    """The value of --max-connections, None if it was not given."""
    limits: AdmissionLimits
    descriptors: int
    """Descriptors that the process and its reactor can use."""
    cause: str
    """The limit that decides the number of descriptors, as a clause for messages."""


_limits_before: dict[int, int] = {}
"""The soft limits of descriptors that this process has set, each with the one that the process was started with."""


def count_overhead(listeners: int, control: int) -> int:
    """Return the number of descriptors that are needed apart from the connections of clients.

    These are the open ones, those for `listeners` ports and their health checks, and `control` for the control socket.
    """
    try:
        opened = len(list(Path("/proc/self/fd").iterdir())) - 1  # one is for reading the directory
    except OSError:
        opened = 0
    return opened + _OPENED_LATER + listeners * _PER_LISTENER + control


def compute_capacity(connections: int | None, per_source: int | None, overhead: int, reactor: Any = None) -> Capacity:
    """Return the limits for the requested connections. Raise the soft limit of descriptors only if they need it.

    A soft limit that was raised for an earlier request does not count, so that a reload has the result of a start.
    """
    reserve = max(RESERVED_FDS, overhead + _MIN_EVICTING)
    descriptors = _raise_fd_limit(0 if connections is None else connections + reserve)
    cause = f"RLIMIT_NOFILE is {descriptors}"
    if isinstance(reactor, SelectReactor) and descriptors > _FD_SETSIZE:
        descriptors, cause = _FD_SETSIZE, f"select(2) is limited to {_FD_SETSIZE} descriptors"
    available = descriptors - max(min(reserve, descriptors // 2), overhead + 1)
    maximum = max(1, available if connections is None else min(connections, available))
    return Capacity(
        connections,
        AdmissionLimits(
            maximum, per_source or max(1, maximum // _PER_SOURCE_DIVISOR), max(1, descriptors - maximum - overhead)
        ),
        descriptors,
        cause,
    )


def _raise_fd_limit(wanted: int) -> int:
    """Raise the soft limit to `wanted` descriptors, as far as the hard limit allows. Return the usable number."""
    soft, hard = (
        _MAX_DESCRIPTORS if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    initial = _limits_before.get(soft, soft)
    wanted = max(initial, min(wanted, hard))
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        _limits_before[wanted] = initial
    return wanted
