"""Report that the daemon cannot start or continue: one line on standard error, and the exit status.

twistd itself prints a traceback for an exception and its whole help for a usage error.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from echotime.logger import Logger
from echotime.systemd.journal import is_journal
from echotime.terminal.nonblocking_writer import NonBlockingWriter
from echotime.terminal.uncaught import describe_exception
from echotime.wire.escape import sanitize

_log = Logger()
_STDERR_FD = 2


class StartupError(Exception, SystemExit):
    """Raised if the daemon cannot start.

    As an Exception it lets twistd clean up and tell the parent process. As a SystemExit with status 1 it ends the
    interpreter without a traceback.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.code = 1


def report_startup_failure(reason: str, *, logged: bool = True) -> StartupError:
    """Report the reason on standard error and, unless the log has not begun, in the log. Return the exception."""
    return StartupError(_report(reason, logged=logged))


def report_runtime_failure(reason: str) -> None:
    """Report the reason on standard error and in the log, and have the process exit with status 1."""
    _report(reason)
    atexit.unregister(_exit_with_status_1)
    atexit.register(_exit_with_status_1)


def _report(reason: str, *, logged: bool = True) -> str:
    reason = sanitize(reason)
    if logged:
        _log.critical("{reason}", reason=reason)
    # Do not report twice to the same journal. sys.stderr is redirected to the log by now.
    if sys.__stderr__ is not None and not (logged and is_journal(_STDERR_FD, os.environ)):
        writer = NonBlockingWriter(sys.__stderr__.fileno())
        writer.write(f"{_stderr_line(reason)}\n".encode())
        writer.close()
    return reason


def report_uncaught(kind: type[BaseException], error: BaseException, traceback: object) -> None:
    """Report an exception that twistd does not catch, such as of --pidfile, --rundir or --chroot, in one line.

    For sys.excepthook. The exit status is 1.
    """
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    # sys.stderr is redirected when the log begins
    _report(describe_exception(error), logged=sys.stderr is not sys.__stderr__)


def _exit_with_status_1() -> None:
    """End the process with status 1. twistd exits with status 0, and has no way to change that."""
    atexit.unregister(_exit_with_status_1)
    atexit._run_exitfuncs()
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(Exception):
            stream.flush()  # type: ignore[union-attr]  # the AttributeError of None is suppressed
    os._exit(1)


def exit_with_usage_errors(errors: str) -> NoReturn:
    """Print each line of `errors` to standard error and exit with status 2."""
    for error in [*errors.splitlines(), f"try '{twistd_name()} echotime --help'"]:
        print(_stderr_line(error), file=sys.stderr, flush=True)
    raise SystemExit(2)


def twistd_name() -> str:
    """Return the name by which twistd was called, such as twistd-echotime."""
    name = Path(sys.argv[0]).name
    return name if name.startswith("twistd") else "twistd"


def _stderr_line(reason: str) -> str:
    """Return the line for standard error, with sd-daemon(3)'s prefix for errors if that is the journal's."""
    return "<3>" * is_journal(_STDERR_FD, os.environ) + f"echotime: {sanitize(reason)}"
