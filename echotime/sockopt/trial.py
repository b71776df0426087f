"""Try options on scratch sockets: the effective value, and what an accepted connection inherits."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from gettext import gettext as _

from echotime.sockopt.apply import UNKNOWN, OptionError, apply, get_value, read_back
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.option import OnAccept, Option, Readable, SetDeadline, SocketRole
from echotime.sockopt.scratch import LoopbackUnavailable, Scratch
from echotime.sockopt.values import N_

_UNSUPPORTED_ERRNOS = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP})
NO_EFFECT = N_("accepted, but has no effect")
NOT_INHERITED = N_("not inherited")


@dataclass(frozen=True)
class TrialResult:
    """Hold the result for one socket; `effective` is empty if the option cannot be read."""

    role: SocketRole
    effective: str
    remark: str = ""
    refused: bool = False
    differs: bool = False
    """True if the kernel changed the value, or the connection has another value than its listener."""


def try_option(assignment: Assignment) -> list[TrialResult]:
    """Set the option on a new listener and a new UDP socket before bind, and look at a connection of the listener.

    Raises OSError if no socket can be opened.
    """
    results = []
    try:
        with Scratch(_ip_version(assignment.option)) as scratch:
            if assignment.transport in {None, "tcp"}:
                results += _try_on_tcp(scratch, assignment)
            if assignment.transport in {None, "udp"}:
                results += [_try_on(scratch, scratch.open("udp"), assignment, SocketRole.UDP)]
    except LoopbackUnavailable as absent:
        roles = [role for role in SocketRole if assignment.transport in {None, role.transport}]
        return [TrialResult(role, "", str(absent.strerror), refused=True) for role in roles]
    return results


def _try_on_tcp(scratch: Scratch, assignment: Assignment) -> list[TrialResult]:
    listener = scratch.open("tcp")
    first = _try_on(scratch, listener, assignment, SocketRole.LISTENER)
    return [first] if first.refused else [first, _try_inheritance(scratch, listener, assignment, first.effective)]


def current_values(option: Option) -> Mapping[SocketRole, str]:
    """Return the value on a new socket of each role, or the errno name if getsockopt fails.

    Roles that lack the option are left out. An option that must be set before bind is read before bind. Raises OSError
    if no socket can be opened.
    """
    if option.readable is Readable.NO:
        return {}
    version = _ip_version(option)
    try:
        with Scratch(version) as scratch:
            values = {role: _current_value(scratch, option, role) for role in SocketRole}
    except LoopbackUnavailable:
        return dict.fromkeys(option.roles, _("no IPv{version}").format(version=version))
    return {role: value for role, value in values.items() if value is not None}


def _ip_version(option: Option) -> int:
    return 6 if option.level == "IPPROTO_IPV6" else min(option.ip_versions)


def _current_value(scratch: Scratch, option: Option, role: SocketRole) -> str | None:
    unbound = option.set_deadline is SetDeadline.BEFORE_BIND and role is not SocketRole.CONNECTION
    sock = scratch.open(role.transport) if unbound else scratch.ready_socket(role)
    try:
        return option.value_type.show(get_value(sock, option))
    except OSError as error:
        return None if error.errno in _UNSUPPORTED_ERRNOS else errno_name(error)


def _try_on(scratch: Scratch, sock: socket.socket, assignment: Assignment, role: SocketRole) -> TrialResult:
    try:
        apply(sock, [assignment])
        scratch.bind(sock)
    except OptionError as failed:
        return TrialResult(role, "", failed.reason, refused=True)
    except OSError as error:
        return TrialResult(role, "", f"bind: {errno_name(error)}", refused=True)
    result = read_back(sock, assignment)
    known = result.effective != UNKNOWN
    remark = result.remark or (NO_EFFECT if role in assignment.option.ignored_roles else "")
    return TrialResult(
        role, result.effective if known else "", _(remark) if remark else "", differs=known and bool(result.remark)
    )


def _try_inheritance(scratch: Scratch, listener: socket.socket, assignment: Assignment, before: str) -> TrialResult:
    option = assignment.option
    try:
        connection = scratch.connection_pair(listener)[1]
    except OSError as error:
        return TrialResult(
            SocketRole.CONNECTION, "", _("no connection: {error}").format(error=errno_name(error)), differs=True
        )
    effective = ""
    with suppress(OSError):
        if option.readable is not Readable.NO:
            effective = option.value_type.show(get_value(connection, option))
    return TrialResult(
        SocketRole.CONNECTION,
        effective,
        _inheritance_remark(assignment, effective, before),
        differs=effective != before,
    )


def _inheritance_remark(assignment: Assignment, effective: str, before: str) -> str:
    """Explain the value of a connection from what was read; use the row only where that is ambiguous."""
    option = assignment.option
    if not effective:
        return ""
    if effective == before and (
        option.on_accept is OnAccept.INHERITED or effective == option.value_type.show(assignment.value)
    ):
        return _(OnAccept.INHERITED.value)
    if option.on_accept is OnAccept.INHERITED or not option.known:
        return _(NOT_INHERITED)
    return _(option.on_accept.value)
