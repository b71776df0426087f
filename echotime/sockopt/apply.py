"""Set options on a socket, and read back the values that the kernel uses."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from gettext import gettext as _

from echotime.sockopt.assignment import Assignment
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.option import Option, Readable, SetDeadline
from echotime.sockopt.values import N_, Value

UNKNOWN = "unknown"
_PERMISSION_ERRNOS = frozenset({errno.EPERM, errno.EACCES})


class OptionError(Exception):
    """Report that the kernel refused an option: which, why, and the privilege it needs."""

    def __init__(self, assignment: Assignment, reason: str) -> None:
        super().__init__(f"{assignment}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class ReadBack:
    """Compare the requested value of an option with what getsockopt returns; `remark` explains a difference."""

    assignment: Assignment
    effective: str
    remark: str

    def __str__(self) -> str:
        option, value = self.assignment.option, self.assignment.value
        line = f"{option.name} requested {option.value_type.show(value)}, effective {self.effective}"
        return f"{line}: {self.remark}" if self.remark else line


def apply(sock: socket.socket, assignments: Iterable[Assignment]) -> None:
    """Set the options in order. Raises OptionError for the first that the kernel refuses."""
    for each in assignments:
        option = each.option
        try:
            sock.setsockopt(option.level_number, option.number, option.value_type.pack(each.value))
        except OSError as error:
            raise OptionError(each, _describe_error(option, error)) from error


def apply_or_close(sock: socket.socket, assignments: Iterable[Assignment]) -> socket.socket:
    """Set the options and return the socket. Closes it and raises OptionError if the kernel refuses one."""
    try:
        apply(sock, assignments)
    except OptionError:
        sock.close()
        raise
    return sock


def apply_after_bind(sock: socket.socket, assignments: Iterable[Assignment]) -> None:
    """Set the options that can still have an effect on a bound or listening socket. Raises OptionError."""
    apply(sock, (each for each in assignments if each.option.set_deadline is not SetDeadline.BEFORE_BIND))


def read_back(sock: socket.socket, assignment: Assignment, *, was_bound: bool = False) -> ReadBack:
    """Read one option back. `was_bound` is True for a socket that was passed in already bound."""
    option = assignment.option
    if option.readable is Readable.NO:
        return ReadBack(assignment, UNKNOWN, N_("it cannot be read back"))
    try:
        value = get_value(sock, option)
    except OSError as error:
        return ReadBack(assignment, UNKNOWN, f"it cannot be read back: {error.strerror}")
    effective = option.value_type.show(value)
    if value == assignment.value or option.value_type.pack(value) == option.value_type.pack(assignment.value):
        return ReadBack(assignment, effective, "")
    if was_bound and option.set_deadline is SetDeadline.BEFORE_BIND:
        return ReadBack(assignment, effective, f"too late: it must be set {option.set_deadline.value}")
    reason = option.read_back_note.reason if option.read_back_note else N_("the kernel changed it")
    return ReadBack(assignment, effective, reason)


def get_value(sock: socket.socket, option: Option) -> Value:
    """Return the value from getsockopt. Raises OSError."""
    return option.value_type.unpack(sock.getsockopt(option.level_number, option.number_read, option.value_type.size))


def warning(assignment: Assignment, transport: str) -> str:
    """Return the warning for a hazardous value, or an empty string."""
    hazard = assignment.option.hazard
    if hazard and transport in hazard.transports and assignment.value in hazard.values:
        return hazard.warning
    return ""


def _describe_error(option: Option, error: OSError) -> str:
    reason = _("{reason} ({name})").format(reason=_(os.strerror(error.errno or 0)), name=errno_name(error))
    if error.errno in _PERMISSION_ERRNOS and option.privilege:
        return _("{reason}; needs {privilege}").format(reason=reason, privilege=_(option.privilege.required))
    if error.errno == errno.ENODEV:
        with suppress(OSError):  # a sandbox may forbid AF_NETLINK
            names = _(", ").join(name for _index, name in socket.if_nameindex())
            return _("{reason}; existing interfaces: {names}").format(reason=reason, names=names)
    return reason
