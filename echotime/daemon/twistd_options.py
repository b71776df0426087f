"""Check and change twistd's own options, whose faults twistd shows as tracebacks, or not at all."""

from __future__ import annotations

import errno
import os
import pwd
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from twisted.python import usage
from twisted.python.util import switchUID

from echotime.control.peer import group_name, user_name
from echotime.errors import report_startup_failure, report_uncaught
from echotime.sockopt.errno_name import errno_name


class NewFile(NamedTuple):
    """Hold mode and owner of a new file that tells about clients. A daemon with --uid must be able to write it."""

    mode: int = 0o640
    uid: int = -1
    gid: int = -1
    """-1 for the user and the group that start the daemon."""


def new_file_rights(twistd: Any) -> NewFile:
    """Return the rights that twistd's --umask, --uid and --gid give to a new file."""
    mode = NewFile().mode if twistd.get("umask") is None else 0o666 & ~twistd["umask"]
    return NewFile(mode, *(-1 if twistd.get(name) is None else twistd[name] for name in ("uid", "gid")))


def prepare_twistd(twistd: usage.Options) -> None:
    """Check --pidfile and the device that twistd and Twisted's ports open. Raises StartupError.

    So are --uid and --gid. Exceptions that twistd does not catch are reported in one line from now on.
    """
    sys.excepthook = report_uncaught
    # without it twistd's parent process would wait for ever, and a port would be said to be unusable
    device = Path(twistd["chroot"] or "/", "dev/null")
    if not device.exists():
        raise report_startup_failure(f"{device} is missing; create it: mknod -m 666 {device} c 1 3", logged=False)
    if reason := _refused_identity(twistd):
        raise report_startup_failure(reason, logged=False)
    # the default applies in daemon mode only; --pidfile twistd.pid is another object than the default
    if twistd["nodaemon"] and twistd["pidfile"] is twistd.defaults["pidfile"]:
        twistd["pidfile"] = ""
    if twistd["pidfile"] and not twistd["chroot"]:
        _check_pidfile(Path(twistd["pidfile"]))


def _check_pidfile(path: Path) -> None:
    try:
        path = path.absolute()
        writable = os.access(path if path.exists() else path.parent, os.W_OK)
        reason = "" if writable else "the file cannot be written"
    except OSError as error:
        # a relative path has none that is absolute if the working directory was deleted
        reason = (error.strerror or "") if path.is_absolute() else f"the working directory: {error.strerror}"
    if reason:
        raise report_startup_failure(f"--pidfile {path}: {reason}", logged=False)


def _refused_identity(twistd: usage.Options) -> str:
    """Return why the process cannot change to --uid and --gid, an empty text if it can.

    A child process tries it, because it depends on capabilities, and on the files of --chroot. twistd would fail only
    after the ports are open, and would report that to its own log.
    """
    uid, gid = twistd["uid"], twistd["gid"]
    if uid is None and gid is None:
        return ""
    try:
        child = os.fork()
    except OSError:  # no process is left: twistd will find out by itself
        return ""
    if not child:
        status = errno.EIO
        try:
            status = _change_identity(twistd)
        finally:
            os._exit(status)  # whatever happens, the child must not go on as a daemon
    try:
        number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except ChildProcessError:  # whoever started this process ignores SIGCHLD, so the status is lost
        return ""
    what = "user" if uid is not None else "group"
    given = f"--uid {user_name(uid)}" if uid is not None else f"--gid {group_name(gid)}"
    if number == errno.ESRCH:
        return f"{given}: there is no such {what}{' below --chroot' * bool(twistd['chroot'])}"
    hint = f"; only root can change the {what}" if number == errno.EPERM else ""
    error = OSError(number, os.strerror(number))
    return f"{given}: {error.strerror} ({errno_name(error)}){hint}" if number else ""


def _change_identity(twistd: usage.Options) -> int:
    """Do what twistd does before it starts the services. Return the errno, 0 without an error, ESRCH for no user."""
    uid, gid = twistd["uid"], twistd["gid"]
    try:
        if twistd["chroot"]:
            os.chroot(twistd["chroot"])
        if uid is not None and gid is None:
            gid = pwd.getpwuid(uid).pw_gid
        # twistd itself will warn that the user is the same
        warnings.simplefilter("ignore")
        switchUID(uid, gid, twistd["euid"])
    except OSError as error:
        return error.errno or errno.EIO
    except (KeyError, OverflowError):
        return errno.ESRCH
    return 0
