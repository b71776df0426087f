"""Start a thread for a call that blocks, or say that the system allows none."""

from __future__ import annotations

import threading
from collections.abc import Callable


class ThreadUnavailable(Exception):
    """Report that no thread can be started, because of a limit (ulimit -u) or of a system call filter."""


def start_thread(target: Callable[[], object], purpose: str) -> threading.Thread:
    """Start a thread that the end of the program does not wait for. Raises ThreadUnavailable."""
    thread = threading.Thread(target=target, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        reason = (
            f"cannot start a thread for {purpose}: {error}; see ulimit -u, or the system call filter of a container"
        )
        raise ThreadUnavailable(reason) from None
    return thread
