"""How the daemon says that it cannot run, or not run on: one line on standard error, and the exit status.

twistd would show a traceback for an exception and print its whole help for a usage error.
"""

from __future__ import annotations

import atexit
import errno
import os
import sys
from contextlib import suppress
from typing import NoReturn

from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from echotime.daemon.journal import is_journal
from echotime.daemon.log_stream import NonBlockingWriter
from echotime.daemon.settings import ListenAddress
from echotime.sockopt.errno_name import errno_name
from echotime.wire.printable import sanitize

_log = Logger()
_STDERR_FD = 2
_HINTS = {
    errno.EADDRINUSE: "another socket holds the port",
    errno.EAFNOSUPPORT: "the kernel has no such sockets, or a sandbox forbids them (RestrictAddressFamilies= of "
    "systemd), as that of echotime.service, where only what echotime.socket passes in is served",
    errno.EADDRNOTAVAIL: "this host does not have the address",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE, or root",
}


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


def listen_error_message(transport: str, address: ListenAddress, error: Exception) -> str:
    """Which address cannot be served, and why."""
    cause = error.socketError if isinstance(error, CannotListenError) else error
    if not isinstance(cause, OSError):
        return f"cannot listen on {transport} {address}: {cause}"
    hint = f": {_HINTS[cause.errno]}" if cause.errno in _HINTS else ""
    if cause.errno == errno.EADDRINUSE and ":" not in address.host:
        hint += "; one on [::] holds the IPv4 port, too"
    if cause.errno == errno.EINVAL and address.host.lower().startswith("fe80:") and "%" not in address.host:
        hint = f": a link-local address needs its interface, as in [{address.host}%eth0]"
    return f"cannot listen on {transport} {address}: {cause.strerror} ({errno_name(cause)}){hint}"


def exit_with_usage_errors(errors: str) -> NoReturn:
    """Say every fault of the command line and end with status 2."""
    for error in [*errors.splitlines(), "try 'twistd echotime --help'"]:
        print(_stderr_line(error), file=sys.stderr, flush=True)
    raise SystemExit(2)


def _stderr_line(reason: str) -> str:
    """For standard error; where that is the journal's, with the priority of an error, as sd-daemon(3) has it."""
    return "<3>" * is_journal(_STDERR_FD, os.environ) + f"echotime: {reason}"
