"""Open the target of --record: a file, a FIFO, a terminal, or a standard stream of the daemon."""

from __future__ import annotations

import errno
import os
import select
import stat
from pathlib import Path
from typing import NamedTuple

from echotime.config.parsers import EXPECTED_RECORD, STANDARD_STREAMS
from echotime.daemon.twistd_options import NewFile

_DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/")
"""Directories of links to open files, which a shell names for ``>(COMMAND)``. No user can put a link there."""
_FLAGS = os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Target(NamedTuple):
    """Hold an open descriptor, and how many bytes may be written to it in one call."""

    descriptor: int
    max_write: int | None
    """PIPE_BUF for what other processes may write to, too, so that lines stay whole. None without a limit."""


def open_target(path: str, new_file: NewFile) -> Target:
    """Open a file to append to, a FIFO, or a terminal. Raises OSError, without waiting for anything.

    A FIFO is opened for reading, too. So it needs no reader yet, and one may leave and another one come.
    """
    descriptor = os.dup(STANDARD_STREAMS[path]) if path in STANDARD_STREAMS else _open(path, new_file)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISBLK(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"it is a block device; {EXPECTED_RECORD}", path)
    if path not in STANDARD_STREAMS:
        os.set_blocking(descriptor, True)
    return Target(descriptor, None if stat.S_ISREG(mode) else select.PIPE_BUF)


def _open(path: str, new_file: NewFile) -> int:
    """Open a path, but no symbolic link: with --uid, that user may write the directory, and root opens the file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_EXCL | _FLAGS, 0o600)
    except FileExistsError:
        flags = _FLAGS | (0 if path.startswith(_DESCRIPTORS) else os.O_NOFOLLOW)
        flags |= os.O_RDWR if Path(path).is_fifo() else os.O_WRONLY
        try:
            return os.open(path, flags, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP and Path(path).is_symlink():
                raise OSError(errno.ELOOP, f"it is a symbolic link; {EXPECTED_RECORD}", path) from None
            raise
    try:
        if (new_file.uid, new_file.gid) != (-1, -1):  # the sandbox of the units forbids the call
            os.fchown(descriptor, new_file.uid, new_file.gid)
        os.fchmod(descriptor, new_file.mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
