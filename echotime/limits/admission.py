"""Which connections are admitted: by address, and as many as there is room for. Whoever takes too much gives way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from echotime.counters import ServiceCounters
from echotime.limits.access import AccessList
from echotime.limits.connection_table import ConnectionTable, TrackedConnection


@dataclass(frozen=True)
class AdmissionLimits:
    """How many connections there may be at a time; None for any number."""

    max_connections: int | None = None
    max_per_source: int | None = None
    max_evicting: int | None = None
    """How many that had to give way may be here still: each has its descriptor until it is over, a little later."""


class Evictable(TrackedConnection, Protocol):
    """A connection that can be made to give way."""

    def reset(self, reason: str) -> None:
        """End it."""


class Admission:
    """Decides for each connection that comes, and knows which are there. What it refuses is counted, by reason."""

    def __init__(
        self, counters: ServiceCounters, access: AccessList | None = None, limits: AdmissionLimits | None = None
    ) -> None:
        self._counters = counters
        self._access = access or AccessList()
        self.limits = limits or AdmissionLimits()
        self._table = ConnectionTable()
        self._evicting: set[Evictable] = set()
        self.add: Callable[[Evictable], None] = self._table.add
        """To be called for a connection that was admitted, and is here."""

    def remove(self, connection: Evictable) -> None:
        """To be called for one that is over."""
        self._evicting.discard(connection)
        self._table.discard(connection)

    def set_limits(self, access: AccessList, limits: AdmissionLimits) -> None:
        """Decide by these from now on. Who is here stays."""
        self._access, self.limits = access, limits

    @property
    def count(self) -> int:
        """How many connections are here."""
        return len(self._table)

    def try_admit(self, host: str, source: str) -> bool:
        """Whether to serve one more from a numeric address, which belongs to a source (limits.source).

        At the connection limit, a source without connections evicts a connection of the largest source, one that is
        idle for long, unless too many evictions are pending.
        """
        if self._access.restricts and not self._access.admits(host):
            self._counters.refused_connections += 1
            return False
        per_source, max_connections = self.limits.max_per_source, self.limits.max_connections
        source_count = self._table.number_of(source)
        if per_source is not None and source_count >= per_source:
            self._counters.refused_source_limit += 1
            return False
        if max_connections is not None and len(self._table) >= max_connections:
            if source_count or (
                self.limits.max_evicting is not None and len(self._evicting) >= self.limits.max_evicting
            ):
                self._counters.refused_connection_limit += 1
                return False
            self._evict()
        return True

    def _evict(self) -> None:
        connection: Evictable = self._table.eviction_candidate()  # type: ignore[assignment]  # as entered takes only those
        # not only when its connection is lost, which is later: until then its place is somebody else's
        self._table.discard(connection)
        self._evicting.add(connection)
        self._counters.evicted += 1
        connection.reset("eviction")
