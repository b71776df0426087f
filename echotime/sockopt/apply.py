"""Setting options on a socket and reading back what the kernel made of them."""

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
from echotime.sockopt.forms import Value
from echotime.sockopt.option import Moment, Option, Readable

UNKNOWN = "unknown"
_REFUSED = frozenset({errno.EPERM, errno.EACCES})


class OptionFailed(Exception):
    """The kernel refused an option; says which, why, and which privilege it would take."""

    def __init__(self, asked: Assignment, reason: str) -> None:
        super().__init__(f"{asked}: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class Reading:
    """What was asked for an option and what getsockopt says; `remark` explains a difference."""

    asked: Assignment
    effective: str
    remark: str

    def __str__(self) -> str:
        option, value = self.asked.option, self.asked.value
        line = f"{option.name} asked {option.form.show(value)}, effective {self.effective}"
        return f"{line}: {self.remark}" if self.remark else line


def apply(sock: socket.socket, assignments: Iterable[Assignment]) -> None:
    """Set them in order. Raises OptionFailed for the first that the kernel refuses."""
    for each in assignments:
        option = each.option
        try:
            sock.setsockopt(option.level_number, option.number, option.form.pack(each.value))
        except OSError as error:
            raise OptionFailed(each, _reason(option, error)) from error


def apply_or_close(sock: socket.socket, assignments: Iterable[Assignment]) -> socket.socket:
    """The socket with them set; if one is refused it is closed, and OptionFailed goes on."""
    try:
        apply(sock, assignments)
    except OptionFailed:
        sock.close()
        raise
    return sock


def apply_late(sock: socket.socket, assignments: Iterable[Assignment]) -> None:
    """On a socket that is bound, and may listen, already: set what can still have an effect. Raises OptionFailed."""
    apply(sock, (each for each in assignments if each.option.moment is not Moment.BEFORE_BIND))


def read(sock: socket.socket, assignment: Assignment, *, bound_before: bool = False) -> Reading:
    """What the kernel says about one assignment; `bound_before` if the socket came to us bound."""
    option = assignment.option
    if option.readable is Readable.NO:
        return Reading(assignment, UNKNOWN, f"it {option.readable.value}")
    try:
        value = value_of(sock, option)
    except OSError as error:
        return Reading(assignment, UNKNOWN, f"it cannot be read back: {error.strerror}")
    effective = option.form.show(value)
    if value == assignment.value or option.form.pack(value) == option.form.pack(assignment.value):
        return Reading(assignment, effective, "")
    if bound_before and option.moment is Moment.BEFORE_BIND:
        return Reading(assignment, effective, f"too late: it must be set {option.moment.value}")
    return Reading(assignment, effective, option.altered.why if option.altered else "the kernel altered it")


def value_of(sock: socket.socket, option: Option) -> Value:
    """What getsockopt gives. Raises OSError."""
    number = option.number if option.read_number is None else option.read_number
    return option.form.unpack(sock.getsockopt(option.level_number, number, option.form.size))


def warning(assignment: Assignment, transport: str) -> str:
    """What has to be said about a dangerous value, empty for all others."""
    danger = assignment.option.danger
    if danger and transport in danger.transports and assignment.value in danger.values:
        return danger.warning
    return ""


def _reason(option: Option, error: OSError) -> str:
    reason = f"{os.strerror(error.errno or 0)} ({errno_name(error)})"
    if error.errno in _REFUSED and option.privilege:
        return _("{reason}; needs {privilege}").format(reason=reason, privilege=option.privilege.needs)
    if error.errno == errno.ENODEV:
        with suppress(OSError):  # a sandbox without AF_NETLINK
            names = ", ".join(name for _index, name in socket.if_nameindex())
            return _("{reason}; the interfaces here are {names}").format(reason=reason, names=names)
    return reason
