"""Duplicate a socket of another process, as a child that inherited it would hold it. See pidfd_getfd(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from contextlib import suppress
from pathlib import Path

_PIDFD_GETFD = 438
_LIBC = ctypes.CDLL(None, use_errno=True)


def duplicate_socket(process: int, kind: socket.SocketKind, name: int | str | None = None) -> socket.socket:
    """Return the internet socket of this kind, and port if given, of a process. Raises OSError if not allowed.

    With the path of a Unix socket as its name, return that one.
    """
    holder = os.pidfd_open(process)
    try:
        for number in _sockets(process):
            descriptor = _LIBC.syscall(_PIDFD_GETFD, holder, number, 0)
            if descriptor < 0 and ctypes.get_errno() == errno.EBADF:
                continue  # closed since the list was read
            if descriptor < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            found = socket.socket(fileno=descriptor)
            address = found.getsockname()
            is_internet = found.family in {socket.AF_INET, socket.AF_INET6}
            names = {None, address[1]} if is_internet else {address}
            if found.type == kind and name in names:
                return found
            found.close()
    finally:
        os.close(holder)
    raise AssertionError(f"process {process} has no {kind.name} on {name or 'any port'}")


def _sockets(process: int) -> list[int]:
    numbers = []
    for each in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since the list was read
            if str(each.readlink()).startswith("socket:"):
                numbers.append(int(each.name))
    return numbers
