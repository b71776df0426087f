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
from twisted.logger import Logger

from echotime.daemon.failure import start_failed
from echotime.desk.control import ControlFactory

_OWNER, _GROUP = 0o600, 0o660


class ControlSocket(Service):
    """Listens on `path`, mode 0600, or 0660 with a group (its number). StartFailed if it cannot."""

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
            _clear(self._path)
            # nobody may come between bind and chmod
            before = os.umask(0o177)
            try:
                mode = _OWNER if self._group is None else _GROUP
                self._port = self._reactor.listenUNIX(self._path, self._factory, mode=mode)
            finally:
                os.umask(before)
            if self._group is not None:
                os.chown(self._path, -1, self._group)
        except (OSError, CannotListenError) as error:
            cause = error.socketError if isinstance(error, CannotListenError) else error
            raise start_failed(f"cannot listen on the control socket {self._path}: {_reason(cause)}") from error
        self._listens_on = _identity(self._path)
        self._log.info("listening for operators on {path}", path=self._path)

    def stopService(self) -> Deferred[None]:
        """Close it, and remove it from the file system; operators that are there are let finish."""
        super().stopService()
        if self._port is not None and _identity(self._path) != self._listens_on:
            # another's by now, or gone: an abstract name is what Twisted does not remove; an older one has it as `port`
            setattr(self._port, "_bindPath" if hasattr(self._port, "_bindPath") else "port", b"\0")
        return maybeDeferred(self._port.stopListening) if self._port is not None else succeed(None)


def admission(group: int | None) -> Callable[[int, int], bool]:
    """Who may come: root, the daemon's own user, and members of the group."""

    def admits(uid: int, gid: int) -> bool:
        return uid in {0, os.geteuid()} or (group is not None and group in _groups(uid, gid))

    return admits


def _groups(uid: int, gid: int) -> set[int]:
    try:
        return {gid, *os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)}
    except KeyError:
        return {gid}


def _identity(path: str) -> tuple[int, int] | None:
    """Which file it is; None for none."""
    try:
        found = Path(path).lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _clear(path: str) -> None:
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


def _reason(error: Any) -> str:
    return str(getattr(error, "strerror", None) or error)
