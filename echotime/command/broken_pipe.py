"""The end of a program whose output nobody reads any more."""

from __future__ import annotations

import os
import signal


def end_by_broken_pipe() -> None:
    """End as programs do whose output nobody reads any more: by SIGPIPE, in silence."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGPIPE)
