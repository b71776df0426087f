"""Which connections are admitted: by address, and as many as there is room for. Whoever takes too much gives way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from echotime.servers.access import Access
from echotime.servers.crowd import Crowd, Guest
from echotime.servers.traffic import Counters


@dataclass(frozen=True)
class Limits:
    """How many connections there may be at a time; None for any number."""

    connections: int | None = None
    per_source: int | None = None
    leaving: int | None = None
    """How many that had to give way may be here still: each has its descriptor until it is over, a little later."""


class Evictable(Guest, Protocol):
    """A connection that can be made to give way."""

    def reset(self, by: str) -> None:
        """End it."""


class Admission:
    """Decides for each connection that comes, and knows which are there. What it refuses is counted, by reason."""

    def __init__(self, counters: Counters, access: Access | None = None, limits: Limits | None = None) -> None:
        self._counters = counters
        self._access = access or Access()
        self.limits = limits or Limits()
        self._crowd = Crowd()
        self._leaving: set[Evictable] = set()
        self.entered: Callable[[Evictable], None] = self._crowd.add
        """To be called for a connection that was admitted, and is here."""

    def left(self, guest: Evictable) -> None:
        """To be called for one that is over."""
        self._leaving.discard(guest)
        self._crowd.discard(guest)

    def change(self, access: Access, limits: Limits) -> None:
        """Decide by these from now on. Who is here stays."""
        self._access, self.limits = access, limits

    @property
    def present(self) -> int:
        """How many connections are here."""
        return len(self._crowd)

    def admits(self, host: str, source: str) -> bool:
        """Whether to serve one more from a numeric address, which belongs to a source (servers.source).

        At the connection limit, a source without connections evicts a connection of the largest source, one that is
        idle for long, unless too many evictions are pending.
        """
        if self._access.restricts and not self._access.admits(host):
            self._counters.refused_connections += 1
            return False
        per_source, most = self.limits.per_source, self.limits.connections
        has = self._crowd.number_of(source)
        if per_source is not None and has >= per_source:
            self._counters.refused_too_many_of_source += 1
            return False
        if most is not None and len(self._crowd) >= most:
            if has or (self.limits.leaving is not None and len(self._leaving) >= self.limits.leaving):
                self._counters.refused_full += 1
                return False
            self._evict()
        return True

    def _evict(self) -> None:
        guest: Evictable = self._crowd.eviction_candidate()  # type: ignore[assignment]  # as entered takes only those
        # not only when its connection is lost, which is later: until then its place is somebody else's
        self._crowd.discard(guest)
        self._leaving.add(guest)
        self._counters.evicted += 1
        guest.reset("eviction")
