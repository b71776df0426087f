"""ConnectionTable: hold connections by source, and choose the one to evict.

Every call takes constant time, because an attacker may open many connections at the limit, and each needs an eviction.
"""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Protocol, TypeVar

SAMPLE = 16
"""Number of connections compared for one eviction."""

_T = TypeVar("_T")


class TrackedConnection(Protocol):
    """Give the table what it compares of a connection."""

    number: int
    """Higher for a later connection."""
    source: str
    last_active: float
    """Time of the last activity, in seconds of the monotonic clock."""


class _IndexedList(list[_T]):
    """An unordered list that removes an item in constant time, by moving the last item to its place."""

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
    """Hold connections by source, and nothing of sources without connections."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or Random()
        self._number = self._largest = 0
        self._groups: defaultdict[str, _IndexedList[TrackedConnection]] = defaultdict(_IndexedList)
        self._by_size: defaultdict[int, _IndexedList[str]] = defaultdict(_IndexedList)
        """The sources that have this number of connections."""

    def __len__(self) -> int:
        return self._number

    def number_of(self, source: str) -> int:
        """Return the number of connections of a source."""
        return len(self._groups.get(source, ()))

    def add(self, connection: TrackedConnection) -> None:
        self._groups[connection.source].append(connection)
        self._resized(connection.source, 1)

    def discard(self, connection: TrackedConnection) -> None:
        """Remove a connection. Do nothing if it was removed before."""
        if connection in self._groups.get(connection.source, ()):
            self._groups[connection.source].remove(connection)
            self._resized(connection.source, -1)

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
        return min(sample, key=lambda each: (each.last_active, each.number))
