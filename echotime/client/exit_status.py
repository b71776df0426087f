"""How a client's attempt ended: the exit statuses of the tools, and the exception that carries one."""

from __future__ import annotations

import errno
import os
from enum import IntEnum

from twisted.internet import error
from twisted.python.failure import Failure


class ExitStatus(IntEnum):
    """Exit statuses of `echotime send` and `echotime time`. They are promised: scripts rely on them."""

    OK = 0
    FAILED = 1
    """Wrong bytes, or a failure that has no number of its own."""
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
    """It did not work out; `detail` is the system's own word for it, where it has one."""

    def __init__(self, status: ExitStatus, detail: str = "") -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __eq__(self, other: object) -> bool:
        """Alike for whoever counts failures."""
        return isinstance(other, ClientError) and self.args == other.args

    def __hash__(self) -> int:
        """As alike as __eq__ says."""
        return hash(self.args)

    @classmethod
    def from_errno(cls, error_number: int) -> ClientError:
        """For an error of a system call."""
        return cls(
            _BY_ERRNO.get(error_number, ExitStatus.FAILED),
            f"{os.strerror(error_number)} ({errno.errorcode.get(error_number, error_number)})",
        )

    @classmethod
    def from_failure(cls, failure: Failure) -> ClientError:
        """For what Twisted says of a connection that could not be made or was lost."""
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
