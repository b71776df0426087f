"""Timers that know nothing of the wall clock: Twisted's are told by it, and setting it stalls or hastens them."""

from __future__ import annotations

import time
from typing import Any


def steady(reactor: Any) -> None:
    """Let a reactor count its seconds from now on by a clock that nobody sets, from some moment on.

    What waits already goes on waiting for as long as it would have. Dates are nobody's to ask a reactor for.
    """
    gained = time.monotonic() - reactor.seconds()
    for call in reactor.getDelayedCalls():
        call.time += gained
        call.seconds = time.monotonic
    reactor.seconds = time.monotonic
