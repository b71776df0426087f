"""Who is connected, by source; which source has most connections, and which of its connections is idle for longest.

Each question is answered in constant time, averaged over all connections and messages: it is asked for each connection
that comes while there is no room, and those may be many.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from itertools import islice
from typing import Protocol

_COMPARED = 16
"""Of sources that have equally many connections, so many that were silent since they came are compared."""
_LOOKED_AT = 256
"""So many are looked at, at most, to find them."""


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
        self._by_size: list[OrderedDict[str, float]] = [OrderedDict()]
        """The sources that have so many connections, in a line; and when one of theirs came, or was active then."""
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
                self._by_size.append(OrderedDict())
        self._by_size[size][source] = guest.last_active

    def discard(self, guest: Guest) -> None:
        """It is gone; nothing to do if it was already."""
        source = guest.source
        group = self._groups.get(source)
        if group is None or guest not in group:
            return
        since = self._by_size[len(group)].pop(source)
        group.remove(guest)
        self._number -= 1
        if group:
            self._by_size[len(group)][source] = since
        else:
            del self._groups[source]
            self._rows.pop(source, None)
        if not self._by_size[self._largest]:
            # it was the only one of the largest, and is one smaller now
            self._largest -= 1

    def longest_idle_of_most(self) -> Guest:
        """The longest idle connection of the source that has most; there is at least one connection.

        Of many sources that have equally many, who was active since it was put in the line goes to its end, so that
        those who came early and are busy do not give way to the silent ones behind them.
        """
        line = self._by_size[self._largest]
        silent: list[Guest] = []
        active: list[Guest] = []
        for source, since in islice(line.items(), _LOOKED_AT):
            guest = self._longest_idle(source)
            (active if guest.last_active > since else silent).append(guest)
            if len(silent) == _COMPARED:
                break
        for guest in active:
            line[guest.source] = guest.last_active
            line.move_to_end(guest.source)
        return min(silent + active, key=lambda guest: (guest.last_active, guest.number))

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
