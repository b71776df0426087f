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

from echotime.daemon.settings import Passed

_FIRST = 3
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})
_log = Logger()


class NotPassed(Exception):
    """What was asked for is not among what was passed; says what was."""


class Descriptor(NamedTuple):
    """One that was passed, and its FileDescriptorName."""

    number: int
    name: str

    def __str__(self) -> str:
        return f"descriptor {self.number} ({self.name})"


def original_environment() -> Mapping[str, str]:
    """What this process was started with. In os.environ LISTEN_PID and LISTEN_FDS may be missing by now.

    twisted.internet.endpoints takes them out, and twistd imports it where its cache of plugins is missing.
    """
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _sign, value in pairs}


def passed(environment: Mapping[str, str]) -> list[Descriptor]:
    """Those that were passed to this process, not to one that started it."""
    names = environment.get("LISTEN_FDNAMES", "")
    number = environment.get("LISTEN_FDS", "")
    # what Twisted leaves of the variables, where /proc cannot be read
    process = environment.get("LISTEN_PID", environment.get("SYSTEMD_EXEC_PID"))
    if process != str(os.getpid()) or not (names or (number.isascii() and number.isdigit())):
        return []
    named = names.split(":") if names else []
    count = int(number) if number.isascii() and number.isdigit() else len(named)
    if len(named) != count:
        named = ["unknown"] * count
    return [Descriptor(_FIRST + index, name) for index, name in enumerate(named)]


class Activation:
    """Gives away descriptors, each once."""

    def __init__(self, descriptors: list[Descriptor]) -> None:
        self._all = descriptors
        self._left = list(descriptors)

    def take(self, transport: str, wanted: Passed) -> list[Descriptor]:
        """Those that were asked for with ``--tcp`` or ``--udp``. Raises NotPassed if there are none.

        By name they may be something else, if none of that name is of the kind: whoever adopts them says so.
        """
        kind = _KINDS[transport]
        if wanted.name is None:
            found = [each for each in self._left if _kind(each) == kind]
        else:
            named = [each for each in self._left if each.name == wanted.name]
            found = [each for each in named if _kind(each) == kind] or named
        if not found and (wanted.required or not any(map(_kind, self._all))):
            raise NotPassed(self._why_not(transport, wanted))
        self._left = [each for each in self._left if each not in found]
        return found

    def _why_not(self, transport: str, wanted: Passed) -> str:
        if not self._all:
            return f"--{transport} {wanted}: no socket was passed; expected a .socket unit that is active"
        what = f"{transport.upper()} socket" if wanted.name is None else f"socket named '{wanted.name}'"
        names = ", ".join(str(each) for each in self._all)
        return f"--{transport} {wanted}: no {what} is left of what was passed: {names}"

    def close(self) -> None:
        """Keep none of them: what was taken was duplicated. Say what nobody took."""
        for each in self._left:
            _log.warn("{descriptor} was passed, and nothing asks for it", descriptor=str(each))
        for each in self._all:
            with suppress(OSError):
                os.close(each.number)


def _kind(descriptor: Descriptor) -> int | None:
    """SOCK_STREAM or SOCK_DGRAM, of an internet socket."""
    try:
        duplicate = os.dup(descriptor.number)
    except OSError:
        return None
    try:
        with socket.socket(fileno=duplicate) as sock:
            return sock.type if sock.family in _FAMILIES else None
    except OSError:
        os.close(duplicate)
        return None
