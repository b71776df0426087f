"""The end of memory: an exception that may come from anywhere, and leave anything half done.

So the daemon does not serve on after it, but ends while it still can. Whoever catches an exception here or in Twisted
logs it, so the log is where it is seen.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

_BALLAST_SIZE = 4 * 2**20
"""Bytes of address space, of which none is touched: Python takes a mebibyte at a time."""


def call_on_memory_error(callback: Callable[[], object], reactor: Any = None) -> None:
    """Call `callback` at the first MemoryError that is logged. Free the memory that is kept for that moment before.

    Our own reactor tells of a MemoryError that it is about to log or could not log, for want of the memory to do so.
    """
    ballast = mmap.mmap(-1, _BALLAST_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    seen = False
    if hasattr(reactor, "on_memory_error"):
        reactor.on_memory_error = ballast.close

    @provider(ILogObserver)
    def observer(event: LogEvent) -> None:
        # Twisted's older functions have it by another name
        failure = event.get("log_failure") or event.get("failure")
        nonlocal seen
        if isinstance(failure, Failure) and isinstance(failure.value, MemoryError) and not seen:
            seen = True
            ballast.close()
            callback()

    globalLogPublisher.addObserver(observer)
