"""Setting options on a socket and reading back what the kernel made of them."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from gettext import gettext as _

from echotime.sockopt.assignment import Assignment
from echotime.sockopt.option import Moment, Option

_REFUSED = frozenset({errno.EPERM, errno.EACCES})


class OptionFailed(Exception):
    """The kernel refused an option; says which, why, and which privilege it would take."""


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
            raise OptionFailed(f"{each}: {_reason(option, error)}") from error


def apply_or_close(sock: socket.socket, assignments: Iterable[Assignment]) -> socket.socket:
    """The socket with them set; if one is refused it is closed, and OptionFailed goes on."""
    try:
        apply(sock, assignments)
    except OptionFailed:
        sock.close()
        raise
    return sock


def apply_late(sock: socket.socket, assignments: Iterable[Assignment]) -> None:
    """On a socket that is bound already: set what can still have an effect. Raises OptionFailed."""
    apply(sock, (each for each in assignments if each.option.moment is Moment.ANY_TIME))


def read(sock: socket.socket, assignment: Assignment, *, bound_before: bool = False) -> Reading:
    """What the kernel says about one assignment; `bound_before` if the socket came to us bound."""
    option = assignment.option
    try:
        raw = sock.getsockopt(option.level_number, option.number, option.form.size)
    except OSError as error:
        return Reading(assignment, "unknown", f"it cannot be read back: {error.strerror}")
    value = option.form.unpack(raw)
    effective = option.form.show(value)
    if value == assignment.value or raw == option.form.pack(assignment.value):
        return Reading(assignment, effective, "")
    if bound_before and option.moment is not Moment.ANY_TIME:
        return Reading(assignment, effective, f"too late: it must be set {option.moment.value}")
    return Reading(assignment, effective, option.altered or "the kernel altered it")


def warning(assignment: Assignment, transport: str) -> str:
    """What has to be said about a dangerous value, empty for all others."""
    danger = assignment.option.danger
    if danger and (danger.transport, danger.value) == (transport, assignment.value):
        return danger.warning
    return ""


def _reason(option: Option, error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, "?")
    reason = f"{os.strerror(error.errno or 0)} ({name})"
    if error.errno in _REFUSED and option.privilege:
        return _("{reason}; needs {privilege}").format(reason=reason, privilege=option.privilege)
    if error.errno == errno.ENODEV:
        names = ", ".join(name for _index, name in socket.if_nameindex())
        return _("{reason}; the interfaces here are {names}").format(reason=reason, names=names)
    return reason
