"""How the daemon says that it cannot run, or not run on: one line on standard error, and the exit status.

twistd would show a traceback for an exception and print its whole help for a usage error.
"""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import suppress
from typing import NoReturn

from echotime.logger import Logger
from echotime.systemd.journal import is_journal
from echotime.terminal.nonblocking_writer import NonBlockingWriter
from echotime.wire.escape import sanitize

_log = Logger()
_STDERR_FD = 2


class StartupError(Exception, SystemExit):
    """The daemon cannot serve what it was asked to serve.

    An Exception, so that twistd cleans up and tells whoever waits for its daemon; and a SystemExit with
    status 1, so that the interpreter ends without a traceback.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.code = 1


def report_startup_failure(reason: str, *, logged: bool = True) -> StartupError:
    """Say why on standard error and in the log, unless that has not begun yet; the exception to raise."""
    return StartupError(_report(reason, logged=logged))


def report_runtime_failure(reason: str) -> None:
    """Report why the daemon ends, as report_startup_failure does. The exit status will be 1."""
    _report(reason)
    atexit.unregister(_exit_with_status_1)
    atexit.register(_exit_with_status_1)


def _report(reason: str, *, logged: bool = True) -> str:
    reason = sanitize(reason)
    if logged:
        _log.critical("{reason}", reason=reason)
    # where the log goes to the same journal it is there already; sys.stderr is the log by now
    if sys.__stderr__ is not None and not (logged and is_journal(_STDERR_FD, os.environ)):
        writer = NonBlockingWriter(sys.__stderr__.fileno())
        writer.write(f"{_stderr_line(reason)}\n".encode())
        writer.close()
    return reason


def _exit_with_status_1() -> None:
    """The end of the process: twistd's own has status 0, unless a signal stopped it, and no place to say otherwise."""
    atexit.unregister(_exit_with_status_1)
    atexit._run_exitfuncs()
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(Exception):
            stream.flush()  # type: ignore[union-attr]  # None is suppressed, too
    os._exit(1)


def exit_with_usage_errors(errors: str) -> NoReturn:
    """Say every fault of the command line and end with status 2."""
    for error in [*errors.splitlines(), "try 'twistd echotime --help'"]:
        print(_stderr_line(error), file=sys.stderr, flush=True)
    raise SystemExit(2)


def _stderr_line(reason: str) -> str:
    """For standard error; where that is the journal's, with the priority of an error, as sd-daemon(3) has it."""
    return "<3>" * is_journal(_STDERR_FD, os.environ) + f"echotime: {reason}"
