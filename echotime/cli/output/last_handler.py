"""Report an exception that nothing caught in one line, and end the program with the exit status it promises.

`echotime check` prints its line on standard output, where monitoring systems read it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from echotime.terminal.uncaught import describe_exception
from echotime.wire.escape import sanitize

_FAILED = 1
_CHECK_UNKNOWN = 3
"""Status 2 of `echotime check` would mean that the server is down."""


def install() -> None:
    """Handle the exceptions that leave the main thread or any other thread."""
    sys.excepthook = lambda kind, error, traceback: exit_with_error(error)
    threading.excepthook = lambda args: exit_with_error(args.exc_value or args.exc_type())


def exit_with_error(error: BaseException) -> NoReturn:
    """End the program: by SIGPIPE if the output pipe is closed, by SIGINT after Ctrl-C, else with one line."""
    for kind, number in ((BrokenPipeError, signal.SIGPIPE), (KeyboardInterrupt, signal.SIGINT)):
        if isinstance(error, kind):
            # a thread cannot change a handler, and has none to change
            with suppress(ValueError):
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
    with suppress(OSError, AttributeError):
        sys.stdout.flush()
    status = report(describe_exception(error))
    # exit without flushing: writing the buffered output would fail again
    os._exit(status)


def is_check() -> bool:
    """Return True if the program runs as `echotime check`."""
    return sys.argv[1:2] == ["check"]


def report(reason: str) -> int:
    """Print why the program cannot do what it was started for, and return its exit status."""
    if is_check():
        with suppress(OSError):
            if "--json" in sys.argv:
                unknown = {"state": "UNKNOWN", "status": _CHECK_UNKNOWN, "message": reason}
                print(sanitize(json.dumps(unknown)), flush=True)
            else:
                print(sanitize(f"ECHOTIME UNKNOWN - {reason}"), flush=True)
        return _CHECK_UNKNOWN
    if sys.stderr is not None:
        with suppress(OSError):
            print(sanitize(f"echotime: {reason}"), file=sys.stderr, flush=True)
    return _FAILED
