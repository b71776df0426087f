"""A descriptor that is kept for the moment when there is no other: clients can be turned away in its place.

Twisted keeps one, too, but not for others, and logs each time what became of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class ReservedFD:
    """One descriptor, or none, where not even that can be had."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take it, unless it is held."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(os.devnull, os.O_RDONLY)
            except OSError:
                self._descriptor = None

    @contextmanager
    def released(self) -> Iterator[None]:
        """Let somebody else have it for a while."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        try:
            yield
        finally:
            self.acquire()


RESERVED_FD = ReservedFD()
"""That of this process."""
