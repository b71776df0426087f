"""The end of memory: an exception that may come from anywhere, and leave anything half done.

So the daemon does not serve on after it, but ends while it still can. Whoever catches an exception here or in Twisted
logs it, so the log is where it is seen.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

_BALLAST = 4 * 2**20
"""Bytes of address space, of which none is touched: Python takes a mebibyte at a time."""


def watch_memory(over: Callable[[], object]) -> None:
    """Call `over` at the first MemoryError that is logged. What is kept for that moment is given back before."""
    ballast = mmap.mmap(-1, _BALLAST, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)

    @provider(ILogObserver)
    def observer(event: LogEvent) -> None:
        # Twisted's older functions have it by another name
        failure = event.get("log_failure") or event.get("failure")
        if isinstance(failure, Failure) and isinstance(failure.value, MemoryError) and not ballast.closed:
            ballast.close()
            over()

    globalLogPublisher.addObserver(observer)
