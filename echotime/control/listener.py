"""The control socket as a service: a Unix socket for operators, and who may come."""

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
    """Listens on `path`, mode 0600, or 0660 with a group (its number). StartupError if it cannot."""

    _log = Logger()

    def __init__(self, path: str, group: int | None, factory: ControlFactory, reactor: Any) -> None:
        self._path = path
        self._group = group
        self._factory = factory
        self._reactor = reactor
        self._port: Any = None

    def startService(self) -> None:
        """Replace what a dead daemon left, and listen."""
        super().startService()
        try:
            _remove_stale_socket(self._path)
            # nobody may come between bind and chmod
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
        self._log.info("listening for operators on {path}", path=self._path)

    def stopService(self) -> Deferred[None]:
        """Close it, and remove it from the file system; operators that are there are let finish."""
        super().stopService()
        if self._port is not None and _inode(self._path) != self._bound_inode:
            # another's by now, or gone: an abstract name is what Twisted does not remove; an older one has it as `port`
            setattr(self._port, "_bindPath" if hasattr(self._port, "_bindPath") else "port", b"\0")
        return maybeDeferred(self._port.stopListening) if self._port is not None else succeed(None)


def peer_authorizer(group: int | None) -> Callable[[int, int], bool]:
    """Who may come: root, the daemon's own user, and members of the group."""

    def is_authorized(uid: int, gid: int) -> bool:
        return uid in {0, os.geteuid()} or (group is not None and group in _user_groups(uid, gid))

    return is_authorized


def _user_groups(uid: int, gid: int) -> set[int]:
    try:
        return {gid, *os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)}
    except KeyError:
        return {gid}


def _inode(path: str) -> tuple[int, int] | None:
    """Which file it is; None for none."""
    try:
        status = Path(path).lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _remove_stale_socket(path: str) -> None:
    """Remove a socket that nobody listens on. Raises OSError for one that somebody does, and for all else."""
    try:
        mode = Path(path).lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is something else, which is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)  # the other may be stopped, and its queue full
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "another daemon listens on it")


def _describe_error(error: Any) -> str:
    return str(getattr(error, "strerror", None) or error)
