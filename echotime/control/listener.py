"""Run a Unix socket of the daemon's own as a service: the control socket, or one for HTTP."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet import unix
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.python.failure import Failure

from echotime.control.peer import group_name, user_name
from echotime.errors import report_startup_failure
from echotime.logger import Logger
from echotime.net.owned import LossNotifyingPort, describe_loss

_GROUP_MODE = 0o660
BACKLOG = 4096
"""Argument of listen(2): clients that connect at once must not wait, and an inherited accept queue not get shorter."""


class UnixPort(LossNotifyingPort, unix.Port):  # type: ignore[misc]  # Twisted's stopListening has an alias
    """Listen on a bound socket, and leave its file alone.

    Twisted would change the mode and remove the file by path. A name in the abstract namespace has no file. Twisted's
    log line at the end would have the NUL byte of that name.
    """

    def __init__(self, sock: socket.socket, factory: IProtocolFactory, reactor: Any) -> None:
        super().__init__(b"\0echotime", factory, BACKLOG, reactor=reactor)
        self._preexistingSocket = sock
        # shutdown(2) would also end an inherited socket for the service manager
        self._shouldShutdown = False

    def _logConnectionLostMsg(self) -> None:
        pass


class UnixSocketService(Service):
    """Listen on `path` with mode 0600, or with mode 0660 if there is a group (a gid).

    `purpose` names the socket in the log. `on_lost` is called with the reason if the port fails later. Starting raises
    StartupError if the socket cannot listen.
    """

    _log = Logger()

    def __init__(
        self,
        path: str,
        group: int | None,
        factory: IProtocolFactory,
        reactor: Any,
        on_lost: Callable[[str], object],
        purpose: str = "control",
    ) -> None:
        self._on_lost = on_lost
        self._purpose = purpose
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
            sock = _bind(self._path, self._group)
        except OSError as error:
            # the ports are opened before --uid applies, and the control socket afterwards
            user = f" (as user {user_name(os.geteuid())})" if isinstance(error, PermissionError) else ""
            raise report_startup_failure(
                f"cannot listen on the {self._purpose} socket {self._path}: {error.strerror or error}{user}"
            ) from error
        self._port = UnixPort(sock, self._factory, self._reactor)
        self._port.on_lost = self._port_lost
        self._port.startListening()
        self._bound_inode = _inode(self._path)
        self._log.info("listening on {purpose} socket {path}", purpose=self._purpose, path=self._path)

    def stopService(self) -> Deferred[None]:
        """Close the socket and remove its file, unless it belongs to another daemon. Clients stay connected."""
        super().stopService()
        if self._port is None:
            return succeed(None)
        if self._bound_inode is not None and _inode(self._path) == self._bound_inode:
            Path(self._path).unlink()
        return maybeDeferred(self._port.stopListening)

    def _port_lost(self, failure: Failure) -> None:
        self._on_lost(describe_loss(f"{self._purpose} socket {self._path}", failure))


def _bind(path: str, group: int | None) -> socket.socket:
    """Return a socket that is bound to `path`, and that only its owner and `group` may connect to.

    The file has mode 0600 from the bind on, and nothing connects before listen(2). chown(2) and chmod(2) by path would
    follow a symbolic link that another user puts there after the bind. So the file is opened without following links,
    and checked to be a socket of this user with no other name. Then it is changed by descriptor.

    setegid(2) around the bind would need a privilege that a member of `group` does not have. fchown(2) on the socket
    does not change the file.
    """
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        old_umask = os.umask(0o177)
        try:
            sock.bind(path)
        finally:
            os.umask(old_umask)
        if group is not None:
            _give_to_group(path, group)
    except OSError:
        sock.close()
        raise
    return sock


def _give_to_group(path: str, group: int) -> None:
    """Let the members of a group connect to a socket that was just bound. Remove it if that fails."""
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink != 1:
            raise OSError(errno.EEXIST, "another user replaced the socket; use a directory that only root can change")
        by_descriptor = f"/proc/self/fd/{descriptor}"
        try:
            os.chown(by_descriptor, -1, group)
            Path(by_descriptor).chmod(_GROUP_MODE)
        except OSError as error:
            Path(path).unlink(missing_ok=True)
            raise OSError(error.errno, f"cannot change its group to {group_name(group)}: {error.strerror}") from None
    finally:
        os.close(descriptor)


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
