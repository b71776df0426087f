"""Standard input, output and error: all three there, and the end of a program whose output nobody reads any more."""

from __future__ import annotations

import os
import signal
import sys


def open_missing_streams() -> None:
    """Open /dev/null for those that were closed when the program was started, and let no character end it."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        # a character that the terminal's encoding lacks is escaped
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def exit_on_write_error(error: OSError, status: int = 1) -> None:
    """End, as standard output cannot be written: in silence by SIGPIPE where nobody reads it, else with a line."""
    if isinstance(error, BrokenPipeError):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    print(f"echotime: {error.strerror or error}", file=sys.stderr, flush=True)
    # nothing that is buffered can be written, so nothing may try to
    os._exit(status)


def print_line(text: str) -> None:
    """Print a line now. For what runs in the reactor, which would only log a failure."""
    try:
        print(text, flush=True)
    except OSError as error:
        exit_on_write_error(error)
