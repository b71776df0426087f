"""How a client's attempt ended: the exit statuses of the tools, and the exception that carries one."""

from __future__ import annotations

import errno
import os
from enum import IntEnum

from twisted.internet import error
from twisted.python.failure import Failure


class Status(IntEnum):
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
    errno.ECONNREFUSED: Status.REFUSED,
    errno.ECONNRESET: Status.RESET,
    errno.EPIPE: Status.RESET,
    errno.ETIMEDOUT: Status.TIMED_OUT,
}


class ClientFailed(Exception):
    """It did not work out; `detail` is the system's own word for it, where it has one."""

    def __init__(self, status: Status, detail: str = "") -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __eq__(self, other: object) -> bool:
        """Alike for whoever counts failures."""
        return isinstance(other, ClientFailed) and self.args == other.args

    def __hash__(self) -> int:
        """As alike as __eq__ says."""
        return hash(self.args)

    @classmethod
    def from_errno(cls, number: int) -> ClientFailed:
        """For an error of a system call."""
        return cls(
            _BY_ERRNO.get(number, Status.FAILED), f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
        )

    @classmethod
    def from_failure(cls, failure: Failure) -> ClientFailed:
        """For what Twisted says of a connection that could not be made or was lost."""
        reason = failure.value
        if isinstance(reason, ClientFailed):
            return reason
        if isinstance(reason, error.TimeoutError | error.TCPTimedOutError):
            return cls(Status.TIMED_OUT)
        if isinstance(reason, error.ConnectionRefusedError):
            return cls(Status.REFUSED)
        number = getattr(reason, "osError", None) or getattr(reason, "errno", None)
        if isinstance(number, int):
            return cls.from_errno(number)
        return cls(Status.RESET if isinstance(reason, error.ConnectionLost) else Status.FAILED, str(reason))
