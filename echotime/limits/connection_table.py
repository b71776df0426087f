"""The connection table: connections by source, sources by their number of connections, and which one to evict.

Every call takes constant time. At the connection limit each new connection asks for a connection to evict, and an
attacker may open many.
"""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Protocol, TypeVar

SAMPLE = 16
"""Connections that are compared for one eviction."""

_T = TypeVar("_T")


class TrackedConnection(Protocol):
    """A connection as the table sees it."""

    number: int
    """Higher for a later connection."""
    source: str
    last_active: float


class _IndexedList(list[_T]):
    """A list without order, from which an item is removed in constant time: the last item takes its place."""

    __slots__ = ("_index",)

    def __init__(self) -> None:
        self._index: dict[_T, int] = {}

    def __contains__(self, item: object) -> bool:
        return item in self._index

    def append(self, item: _T) -> None:
        self._index[item] = len(self)
        super().append(item)

    def remove(self, item: _T) -> None:
        index, last = self._index.pop(item), self.pop()
        if index < len(self):
            self[index] = last
            self._index[last] = index


class ConnectionTable:
    """Connections and their sources. Nothing is kept of a source without connections."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or Random()
        self._number = self._largest = 0
        self._groups: defaultdict[str, _IndexedList[TrackedConnection]] = defaultdict(_IndexedList)
        self._by_size: defaultdict[int, _IndexedList[str]] = defaultdict(_IndexedList)
        """The sources that have so many connections."""

    def __len__(self) -> int:
        return self._number

    def number_of(self, source: str) -> int:
        """Return how many connections a source has."""
        return len(self._groups.get(source, ()))

    def add(self, guest: TrackedConnection) -> None:
        """Add a connection."""
        self._groups[guest.source].append(guest)
        self._resized(guest.source, 1)

    def discard(self, guest: TrackedConnection) -> None:
        """Remove a connection. Do nothing if it was removed before."""
        if guest in self._groups.get(guest.source, ()):
            self._groups[guest.source].remove(guest)
            self._resized(guest.source, -1)

    def _resized(self, source: str, by: int) -> None:
        self._number += by
        size = len(self._groups[source])
        if before := size - by:
            self._by_size[before].remove(source)
            if not self._by_size[before]:
                del self._by_size[before]
        if size:
            self._by_size[size].append(source)
        else:
            del self._groups[source]
        if size > self._largest or self._largest not in self._by_size:
            self._largest = size

    def eviction_candidate(self) -> TrackedConnection:
        """Return the longest idle of 16 random connections of the largest source, or of all where it has fewer.

        Where several sources are the largest, the 16 are drawn from the connections of all of them. There must be at
        least one connection.
        """
        size, sources = self._largest, self._by_size[self._largest]
        drawn = self._random.sample(range(size * len(sources)), min(SAMPLE, size * len(sources)))
        sample = [self._groups[sources[each // size]][each % size] for each in drawn]
        return min(sample, key=lambda guest: (guest.last_active, guest.number))
