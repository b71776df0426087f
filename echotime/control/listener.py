"""Run the control socket, a Unix socket for operators, as a service, and authorize its clients."""

from __future__ import annotations

import errno
import os
import pwd
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError

from echotime.control.server import ControlFactory
from echotime.errors import report_startup_failure
from echotime.logger import Logger

_OWNER_MODE, _GROUP_MODE = 0o600, 0o660


class ControlSocketService(Service):
    """Listen on `path` with mode 0600, or with mode 0660 if there is a group (a gid).

    Starting raises StartupError if that fails.
    """

    _log = Logger()

    def __init__(self, path: str, group: int | None, factory: ControlFactory, reactor: Any) -> None:
        self._path = path
        self._group = group
        self._factory = factory
        self._reactor = reactor
        self._port: Any = None

    def startService(self) -> None:
        """Listen, after removing the socket of a daemon that was killed."""
        super().startService()
        try:
            _remove_stale_socket(self._path)
            # no other user may connect between bind and chmod
            old_umask = os.umask(0o177)
            try:
                mode = _OWNER_MODE if self._group is None else _GROUP_MODE
                self._port = self._reactor.listenUNIX(self._path, self._factory, mode=mode)
            finally:
                os.umask(old_umask)
            if self._group is not None:
                os.chown(self._path, -1, self._group)
        except (OSError, CannotListenError) as error:
            cause = error.socketError if isinstance(error, CannotListenError) else error
            raise report_startup_failure(
                f"cannot listen on the control socket {self._path}: {_describe_error(cause)}"
            ) from error
        self._bound_inode = _inode(self._path)
        self._log.info("listening on control socket {path}", path=self._path)

    def stopService(self) -> Deferred[None]:
        """Close the socket and remove its file. Connected operators stay connected."""
        super().stopService()
        if self._port is not None and _inode(self._path) != self._bound_inode:
            # The file is gone or belongs to another daemon. Twisted does not remove an abstract name. Older versions
            # of Twisted have the path as `port`.
            setattr(self._port, "_bindPath" if hasattr(self._port, "_bindPath") else "port", b"\0")
        return maybeDeferred(self._port.stopListening) if self._port is not None else succeed(None)


def peer_authorizer(group: int | None) -> Callable[[int, int], bool]:
    """Return a function of uid and gid that accepts root, the daemon's own user, and members of the group."""

    def is_authorized(uid: int, gid: int) -> bool:
        return uid in {0, os.geteuid()} or (group is not None and group in _user_groups(uid, gid))

    return is_authorized


def _user_groups(uid: int, gid: int) -> set[int]:
    try:
        return {gid, *os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)}
    except KeyError:
        return {gid}


def _inode(path: str) -> tuple[int, int] | None:
    """Return device and inode of a file, None if there is none."""
    try:
        status = Path(path).lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _remove_stale_socket(path: str) -> None:
    """Remove a socket on which no process listens. Raises OSError if a process does, or if it is another file."""
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "the file exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # the listening process may be stopped with a full queue
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another process listens on it")


def _describe_error(error: Any) -> str:
    return str(getattr(error, "strerror", None) or error)
