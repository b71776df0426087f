"""Define the exit statuses of the tools, and the exception that carries one."""

from __future__ import annotations

import errno
import os
from enum import IntEnum

from twisted.internet import error
from twisted.python.failure import Failure

from echotime.i18n.language import gettext as _


class ExitStatus(IntEnum):
    """Define the exit statuses of `echotime send` and `echotime time`. Scripts rely on them, so they are stable."""

    OK = 0
    FAILED = 1
    """Wrong bytes, or a failure without a status of its own."""
    USAGE = 2
    REFUSED = 3
    TIMED_OUT = 4
    RESET = 5
    NAME_NOT_FOUND = 6
    NO_ANSWER = 7


_BY_ERRNO = {
    errno.ECONNREFUSED: ExitStatus.REFUSED,
    errno.ECONNRESET: ExitStatus.RESET,
    errno.EPIPE: ExitStatus.RESET,
    errno.ETIMEDOUT: ExitStatus.TIMED_OUT,
}


class ClientError(Exception):
    """Report that a request failed. `detail` is the system's error message, if there is one."""

    def __init__(self, status: ExitStatus, detail: str = "") -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __eq__(self, other: object) -> bool:
        """Compare by value, so that failures can be counted by kind."""
        return isinstance(other, ClientError) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)

    @classmethod
    def from_errno(cls, error_number: int) -> ClientError:
        """Return the error for an errno of a system call."""
        return cls(
            _BY_ERRNO.get(error_number, ExitStatus.FAILED),
            _("{reason} ({name})").format(
                reason=_(os.strerror(error_number)), name=errno.errorcode.get(error_number, error_number)
            ),
        )

    @classmethod
    def from_failure(cls, failure: Failure) -> ClientError:
        """Return the error for a connection that Twisted could not make or that was lost."""
        reason = failure.value
        if isinstance(reason, ClientError):
            return reason
        if isinstance(reason, error.TimeoutError | error.TCPTimedOutError):
            return cls(ExitStatus.TIMED_OUT)
        if isinstance(reason, error.ConnectionRefusedError):
            return cls(ExitStatus.REFUSED)
        number = getattr(reason, "osError", None) or getattr(reason, "errno", None)
        if isinstance(number, int):
            return cls.from_errno(number)
        return cls(ExitStatus.RESET if isinstance(reason, error.ConnectionLost) else ExitStatus.FAILED, str(reason))
