"""Who is connected, by source; which source has most connections, and which of its connections is idle for longest.

Each question is answered in constant time, averaged over all connections and messages: it is asked for each connection
that comes while there is no room, and those may be many.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Protocol

_LOOKED_AT = 16
"""Of sources that have equally many connections, so many are compared."""


class Guest(Protocol):
    """What is known of a connection."""

    number: int
    """Higher for the later one."""
    source: str
    last_active: float


class Crowd:
    """Connections and their sources. A source that has none left costs nothing."""

    def __init__(self) -> None:
        self._number = 0
        self._groups: dict[str, set[Guest]] = {}
        self._by_size: list[dict[str, None]] = [{}]
        """The sources that have so many connections."""
        self._largest = 0
        self._rows: dict[str, deque[tuple[float, Guest]]] = {}
        """Connections of a source in the order of their idleness, as it was at some moment."""

    def __len__(self) -> int:
        return self._number

    def number_of(self, source: str) -> int:
        """How many connections a source has."""
        return len(self._groups.get(source, ()))

    def add(self, guest: Guest) -> None:
        """One more is here."""
        source = guest.source
        group = self._groups.get(source)
        if group is None:
            group = self._groups[source] = set()
        else:
            del self._by_size[len(group)][source]
        group.add(guest)
        self._number += 1
        size = len(group)
        if size > self._largest:
            self._largest = size
            if size == len(self._by_size):
                self._by_size.append({})
        self._by_size[size][source] = None

    def discard(self, guest: Guest) -> None:
        """It is gone; nothing to do if it was already."""
        source = guest.source
        group = self._groups.get(source)
        if group is None or guest not in group:
            return
        del self._by_size[len(group)][source]
        group.remove(guest)
        self._number -= 1
        if group:
            self._by_size[len(group)][source] = None
        else:
            del self._groups[source]
            self._rows.pop(source, None)
        if not self._by_size[self._largest]:
            # it was the only one of the largest, and is one smaller now
            self._largest -= 1

    def longest_idle_of_most(self) -> Guest:
        """The longest idle connection of the source that has most; there is at least one connection."""
        largest = islice(self._by_size[self._largest], _LOOKED_AT)
        return min(map(self._longest_idle, largest), key=lambda guest: (guest.last_active, guest.number))

    def _longest_idle(self, source: str) -> Guest:
        """Of one source.

        All are put in a row once in a while. Who is still there, and has not been active since, is idle for longer than
        all behind, and than all that came or were active later.
        """
        group = self._groups[source]
        row = self._rows.setdefault(source, deque())
        while True:
            while row:
                since, guest = row[0]
                if guest in group and guest.last_active == since:
                    return guest
                row.popleft()
            ranked = sorted(group, key=lambda guest: (guest.last_active, guest.number))
            row.extend((guest.last_active, guest) for guest in ranked)
