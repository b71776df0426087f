"""Find and claim the sockets that the service manager passes in; see sd_listen_fds(3).

Sockets are claimed by name or by type, with `--tcp systemd:NAME` or `--tcp systemd`. Unclaimed ones are logged.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from twisted.logger import Logger

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


def initial_environ() -> Mapping[str, str]:
    """Return the environment with which this process was started.

    In os.environ LISTEN_PID and LISTEN_FDS may be missing: twisted.internet.endpoints removes them when imported, and
    twistd imports that module if its plugin cache is missing.
    """
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _sign, value in pairs}


def listen_fds(environment: Mapping[str, str]) -> list[InheritedFD]:
    """Return the descriptors passed to this process, none if they were meant for a parent process."""
    names = environment.get("LISTEN_FDNAMES", "")
    count_text = environment.get("LISTEN_FDS", "")
    # SYSTEMD_EXEC_PID is what Twisted leaves if /proc cannot be read
    pid = environment.get("LISTEN_PID", environment.get("SYSTEMD_EXEC_PID"))
    if pid != str(os.getpid()) or not (names or (count_text.isascii() and count_text.isdigit())):
        return []
    fd_names = names.split(":") if names else []
    count = int(count_text) if count_text.isascii() and count_text.isdigit() else len(fd_names)
    if len(fd_names) != count:
        fd_names = ["unknown"] * count
    return [InheritedFD(_LISTEN_FDS_START + index, name) for index, name in enumerate(fd_names)]


class InheritedSockets:
    """Give away inherited descriptors, each once."""

    def __init__(self, descriptors: list[InheritedFD]) -> None:
        self._all = descriptors
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
        self._unclaimed = [each for each in self._unclaimed if each not in found]
        return found

    def _not_passed_message(self, transport: str, requested: SystemdSocket) -> str:
        if not self._all:
            return f"--{transport} {requested}: no socket was passed; expected a .socket unit that is active"
        description = f"{transport.upper()} socket" if requested.name is None else f"socket named '{requested.name}'"
        names = ", ".join(str(each) for each in self._all)
        return f"--{transport} {requested}: no unclaimed {description}; passed: {names}"

    def close(self) -> None:
        """Close all descriptors, as claimed ones have been duplicated. Log those that were not claimed."""
        for each in self._unclaimed:
            _log.warn("{descriptor} was passed, but no option requests it", descriptor=sanitize(str(each)))
        for each in self._all:
            with suppress(OSError):
                os.close(each.fd)


def _socket_type(descriptor: InheritedFD) -> int | None:
    """Return the type of an IPv4 or IPv6 socket, None for any other descriptor."""
    try:
        duplicate = os.dup(descriptor.fd)
    except OSError:
        return None
    try:
        with socket.socket(fileno=duplicate) as sock:
            return sock.type if sock.family in _INET_FAMILIES else None
    except OSError:
        os.close(duplicate)
        return None
