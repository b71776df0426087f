"""ConnectionTable: hold connections by source, and choose the one to evict.

Every call takes constant time, because an attacker may open many connections at the limit, and each needs an eviction.
"""

from __future__ import annotations

from random import Random
from typing import Generic, Protocol, TypeVar

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


class _Bag(Generic[_T]):
    """Hold items without order. An item is added, removed and looked up by index in constant time."""

    __slots__ = ("index", "items")

    def __init__(self) -> None:
        self.items: list[_T] = []
        self.index: dict[_T, int] = {}

    def add(self, item: _T) -> None:
        self.index[item] = len(self.items)
        self.items.append(item)

    def remove(self, item: _T) -> None:
        """Remove an item by moving the last one to its place."""
        place, last = self.index.pop(item), self.items.pop()
        if last != item:
            self.items[place] = last
            self.index[last] = place


class ConnectionTable:
    """Hold connections by source, and nothing of sources without connections."""

    def __init__(self, random: Random | None = None) -> None:
        self._random = random or Random()
        self._number = self._largest = 0
        self._groups: dict[str, _Bag[TrackedConnection]] = {}
        self._by_size: dict[int, _Bag[str]] = {}
        """The sources that have this number of connections."""

    def __len__(self) -> int:
        return self._number

    def number_of(self, source: str) -> int:
        """Return the number of connections of a source."""
        group = self._groups.get(source)
        return 0 if group is None else len(group.items)

    def add(self, connection: TrackedConnection) -> None:
        source = connection.source
        group = self._groups.get(source)
        if group is None:
            group = self._groups[source] = _Bag()
        group.add(connection)
        self._number += 1
        self._move(source, len(group.items) - 1, len(group.items))

    def discard(self, connection: TrackedConnection) -> None:
        """Remove a connection. Do nothing if it was removed before."""
        source = connection.source
        group = self._groups.get(source)
        if group is None or connection not in group.index:
            return
        group.remove(connection)
        self._number -= 1
        if not group.items:
            del self._groups[source]
        self._move(source, len(group.items) + 1, len(group.items))

    def _move(self, source: str, old_size: int, size: int) -> None:
        by_size = self._by_size
        sources = by_size.get(old_size)
        if sources is not None and len(sources.items) == 1:
            # the only source of its size, as a source alone always is: its bag moves with it
            del by_size[old_size]
            if size and size not in by_size:
                by_size[size] = sources
                if size > self._largest or old_size == self._largest:
                    self._largest = size
                return
        elif sources is not None:
            sources.remove(source)
        if size:
            if size not in by_size:
                by_size[size] = _Bag()
            by_size[size].add(source)
        if size > self._largest or self._largest not in by_size:
            self._largest = size

    def eviction_candidate(self) -> TrackedConnection:
        """Return the longest idle of 16 random connections of the largest source, or of all where it has fewer.

        Where several sources are the largest, the 16 are drawn from the connections of all of them. There must be at
        least one connection.
        """
        size, sources = self._largest, self._by_size[self._largest].items
        drawn = self._random.sample(range(size * len(sources)), min(SAMPLE, size * len(sources)))
        sample = [self._groups[sources[each // size]].items[each % size] for each in drawn]
        return min(sample, key=lambda each: (each.last_active, each.number))
