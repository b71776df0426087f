"""Admission: decide which connections are served, and which are evicted to make room for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from echotime.counters import ServiceCounters
from echotime.limits.access import AccessList
from echotime.limits.connection_table import ConnectionTable, TrackedConnection


@dataclass(frozen=True)
class AdmissionLimits:
    """Limit the number of open connections; None for no limit."""

    max_connections: int | None = None
    max_per_source: int | None = None
    max_evicting: int | None = None
    """Maximum number of evicted connections that still hold their descriptor."""


class Evictable(TrackedConnection, Protocol):
    """A connection that can be evicted."""

    def reset(self, reason: str) -> None:
        """Reset the connection, and log `reason` as the end."""


class Admission:
    """Decide whether to admit each new connection, and hold the open ones. Refusals are counted by reason."""

    def __init__(
        self, counters: ServiceCounters, access: AccessList | None = None, limits: AdmissionLimits | None = None
    ) -> None:
        self._counters = counters
        self._access = access or AccessList()
        self.limits = limits or AdmissionLimits()
        self._table = ConnectionTable()
        self._evicting: set[Evictable] = set()
        self._reserved = 0
        """Connections whose source is not known yet, and those that are being refused."""
        self.add: Callable[[Evictable], None] = self._table.add
        """Call for each admitted connection when its protocol is connected."""

    def remove(self, connection: Evictable) -> None:
        """Remove a connection that has ended."""
        self._evicting.discard(connection)
        self._table.discard(connection)

    def set_limits(self, access: AccessList, limits: AdmissionLimits) -> None:
        """Change access list and limits for new connections; open ones stay."""
        self._access, self.limits = access, limits

    @property
    def count(self) -> int:
        """Return the number of open connections, without those being evicted."""
        return len(self._table)

    def has_room(self, host: str) -> bool:
        """Return True if a connection from `host` may wait until its source is known. Otherwise count it as refused.

        At the connection limit it takes a place of those that may be evicting.
        """
        if self._is_full() and not self._may_exceed():
            self._counters.refuse("refused_connection_limit", host)
            return False
        return True

    def reserve(self) -> None:
        """Count a connection as open whose source is not known, or that is being refused. `release` must follow."""
        self._reserved += 1

    def release(self) -> None:
        """End a reservation of `reserve`."""
        self._reserved -= 1

    def _is_full(self) -> bool:
        maximum = self.limits.max_connections
        return maximum is not None and len(self._table) + self._reserved >= maximum

    def _may_exceed(self) -> bool:
        """Return True if there is a descriptor for a connection beyond the limit.

        Connections that a lower limit has left open are not in excess: the old limit has provided for them.
        """
        beyond = len(self._table) + self._reserved - (self.limits.max_connections or 0)
        excess = min(beyond, self._reserved)
        return self.limits.max_evicting is None or len(self._evicting) + excess < self.limits.max_evicting

    def try_admit(self, host: str, source: str) -> bool:
        """Return True if a connection from the numeric address `host` of `source` (limits.source) is to be served.

        At the connection limit, a source without connections evicts a connection of the largest source that has been
        idle for long, unless too many evictions are pending.
        """
        if self._access.restricts and not self._access.admits(host):
            self._counters.refuse("refused_connections", host)
            return False
        per_source = self.limits.max_per_source
        source_count = self._table.number_of(source)
        if per_source is not None and source_count >= per_source:
            self._counters.refuse("refused_source_limit", host)
            return False
        if self._is_full():
            if source_count or not self._may_exceed():
                self._counters.refuse("refused_connection_limit", host)
                return False
            if len(self._table):
                self._evict()
        return True

    def _evict(self) -> None:
        connection: Evictable = self._table.eviction_candidate()  # type: ignore[assignment]  # `add` accepts no others
        # remove it now and not when its connection is lost, as the new connection takes its place at once
        self._table.discard(connection)
        self._evicting.add(connection)
        self._counters.evicted += 1
        connection.reset("eviction")
