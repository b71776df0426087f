"""Sockets that the service manager has opened and passes to us, as sd_listen_fds(3) has it.

Which are taken is asked for by name or by kind, `--tcp systemd:NAME` or `--tcp systemd`; what nobody asks for is told.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from twisted.logger import Logger

_LISTEN_FDS_START = 3
_SOCKET_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_INET_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})
_log = Logger("echotime")


class SystemdSocket(NamedTuple):
    """Sockets that the service manager passes in: those of a name, or those of the kind that are left."""

    name: str | None = None
    required: bool = True
    """Whether there has to be one."""

    def __str__(self) -> str:
        return "systemd" if self.name is None else f"systemd:{self.name}"


class SocketNotPassed(Exception):
    """What was asked for is not among what was passed; says what was."""


class InheritedFD(NamedTuple):
    """One that was passed, and its FileDescriptorName."""

    fd: int
    name: str

    def __str__(self) -> str:
        return f"descriptor {self.fd} ({self.name})"


def initial_environ() -> Mapping[str, str]:
    """What this process was started with. In os.environ LISTEN_PID and LISTEN_FDS may be missing by now.

    twisted.internet.endpoints takes them out, and twistd imports it where its cache of plugins is missing.
    """
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _sign, value in pairs}


def listen_fds(environment: Mapping[str, str]) -> list[InheritedFD]:
    """Those that were passed to this process, not to one that started it."""
    names = environment.get("LISTEN_FDNAMES", "")
    count_text = environment.get("LISTEN_FDS", "")
    # what Twisted leaves of the variables, where /proc cannot be read
    pid = environment.get("LISTEN_PID", environment.get("SYSTEMD_EXEC_PID"))
    if pid != str(os.getpid()) or not (names or (count_text.isascii() and count_text.isdigit())):
        return []
    fd_names = names.split(":") if names else []
    count = int(count_text) if count_text.isascii() and count_text.isdigit() else len(fd_names)
    if len(fd_names) != count:
        fd_names = ["unknown"] * count
    return [InheritedFD(_LISTEN_FDS_START + index, name) for index, name in enumerate(fd_names)]


class InheritedSockets:
    """Gives away descriptors, each once."""

    def __init__(self, descriptors: list[InheritedFD]) -> None:
        self._all = descriptors
        self._unclaimed = list(descriptors)

    def claim(self, transport: str, requested: SystemdSocket) -> list[InheritedFD]:
        """Those that were asked for with ``--tcp`` or ``--udp``. Raises SocketNotPassed if there are none.

        By name they may be something else, if none of that name is of the kind: whoever adopts them says so.
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
        return f"--{transport} {requested}: no {description} is left of what was passed: {names}"

    def close(self) -> None:
        """Keep none of them: what was taken was duplicated. Say what nobody took."""
        for each in self._unclaimed:
            _log.warn("{descriptor} was passed, and nothing asks for it", descriptor=str(each))
        for each in self._all:
            with suppress(OSError):
                os.close(each.fd)


def _socket_type(descriptor: InheritedFD) -> int | None:
    """SOCK_STREAM or SOCK_DGRAM, of an internet socket."""
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
