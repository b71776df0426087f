"""Find and claim the sockets that the service manager passes in; see sd_listen_fds(3).

Sockets are claimed by name or by type, with `--tcp systemd:NAME` or `--tcp systemd`. Unclaimed ones are logged.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from twisted.logger import Logger

from echotime.systemd.environment import MAX_INT, STARTED_PID, InvalidEnvironment, number, other_process
from echotime.wire.escape import sanitize

_LISTEN_FDS_START = 3
_SOCKET_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_INET_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})
_log = Logger("echotime")


class SystemdSocket(NamedTuple):
    """Request inherited sockets by name, or by type if the name is None."""

    name: str | None = None
    required: bool = True
    """True if a missing socket is an error."""

    def __str__(self) -> str:
        return "systemd" if self.name is None else f"systemd:{self.name}"


class SocketNotPassed(Exception):
    """Report that no requested socket was passed, and which were."""


class InheritedFD(NamedTuple):
    """Hold a passed descriptor and its FileDescriptorName (sd_listen_fds_with_names(3))."""

    fd: int
    name: str

    def __str__(self) -> str:
        return f"descriptor {self.fd} ({self.name})"


def are_sockets_passed(environment: Mapping[str, str]) -> bool:
    """Return True if sockets were passed to this process, or if the variables are faulty, as `listen_fds` reports."""
    try:
        return bool(_count(environment))
    except InvalidEnvironment:
        return True


def listen_fds(environment: Mapping[str, str]) -> list[InheritedFD]:
    """Return the descriptors passed to this process, none if they were meant for another one.

    Raises InvalidEnvironment, also if a descriptor is not open or was opened by this process. Inherited descriptors are
    inheritable, and those that Python opens are not (PEP 446).
    """
    count = _count(environment)
    for fd in range(_LISTEN_FDS_START, _LISTEN_FDS_START + count):
        if not _is_inheritable(fd):
            raise InvalidEnvironment(f"environment: LISTEN_FDS={count}: descriptor {fd} was not passed")
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    if len(names) != count or names == [""]:
        names = ["unknown"] * count
    return [InheritedFD(_LISTEN_FDS_START + index, name) for index, name in enumerate(names)]


def _count(environment: Mapping[str, str]) -> int:
    """Return the number of descriptors that were passed to this process. Raises InvalidEnvironment."""
    if environment.get("LISTEN_PID") or environment.get("LISTEN_FDS"):
        number(environment, "LISTEN_PID", MAX_INT)
        is_other = other_process(environment, "LISTEN_PID")
        return 0 if is_other else number(environment, "LISTEN_FDS", MAX_INT - _LISTEN_FDS_START)
    # without /proc there is only what Twisted leaves
    names = environment.get("LISTEN_FDNAMES")
    return len(names.split(":")) if names and environment.get("SYSTEMD_EXEC_PID") == str(STARTED_PID) else 0


def _is_inheritable(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)
    except OSError:
        return False


class InheritedSockets:
    """Give away inherited descriptors, each once. `other_process` says why there are none, if known."""

    def __init__(self, descriptors: list[InheritedFD], other_process: str = "") -> None:
        self._all = descriptors
        self._other_process = other_process
        self._unclaimed = list(descriptors)

    def claim(self, transport: str, requested: SystemdSocket) -> list[InheritedFD]:
        """Return the descriptors that a ``--tcp`` or ``--udp`` option requests. Raises SocketNotPassed if none.

        If all sockets of a requested name are of another type, they are returned, and adopting them reports the type.
        """
        socket_type = _SOCKET_TYPES[transport]
        if requested.name is None:
            found = [each for each in self._unclaimed if _socket_type(each) == socket_type]
        else:
            of_name = [each for each in self._unclaimed if each.name == requested.name]
            found = [each for each in of_name if _socket_type(each) == socket_type] or of_name
        if not found and (requested.required or not any(map(_socket_type, self._all))):
            raise SocketNotPassed(self._not_passed_message(transport, requested))
        return self._claim(found)

    def claim_named(self, option: str, requested: SystemdSocket) -> list[InheritedFD]:
        """Return the descriptors of a name, whatever their type, that `option` requests. Raises SocketNotPassed."""
        found = [each for each in self._unclaimed if each.name == requested.name]
        if not found:
            raise SocketNotPassed(self._not_passed_message(option, requested))
        return self._claim(found)

    def _claim(self, found: list[InheritedFD]) -> list[InheritedFD]:
        self._unclaimed = [each for each in self._unclaimed if each not in found]
        return found

    def _not_passed_message(self, option: str, requested: SystemdSocket) -> str:
        if not self._all:
            reason = self._other_process or "expected a .socket unit that is active"
            return f"--{option} {requested}: no socket was passed; {reason}"
        description = f"{option.upper()} socket" if requested.name is None else f"socket named '{requested.name}'"
        names = ", ".join(str(each) for each in self._all)
        return f"--{option} {requested}: no unclaimed {description}; passed: {names}"

    def close(self) -> None:
        """Close all descriptors, as claimed ones have been duplicated. Log those that were not claimed."""
        if self._other_process:
            _log.warn("no inherited socket is used: {reason}", reason=self._other_process)
        for each in self._unclaimed:
            _log.warn("{descriptor} was passed, but no option requests it", descriptor=sanitize(str(each)))
        for each in self._all:
            with suppress(OSError):
                os.close(each.fd)


def _socket_type(descriptor: InheritedFD) -> int | None:
    """Return the type of an IPv4 or IPv6 socket that can be served, None for any other descriptor."""
    try:
        duplicate = os.dup(descriptor.fd)
    except OSError:
        return None
    try:
        with socket.socket(fileno=duplicate) as sock:
            return sock.type if sock.family in _INET_FAMILIES and sock.type in _SOCKET_TYPES.values() else None
    except OSError:
        os.close(duplicate)
        return None
