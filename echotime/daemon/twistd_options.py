"""Check and change twistd's own options, whose faults twistd shows as tracebacks, or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.python import usage

from echotime.errors import report_startup_failure, report_uncaught


def prepare_twistd(twistd: usage.Options) -> None:
    """Check --pidfile and the device that twistd and Twisted's ports open. Raises StartupError.

    Exceptions that twistd does not catch are reported in one line from now on.
    """
    sys.excepthook = report_uncaught
    # without it twistd's parent process would wait for ever, and a port would be said to be unusable
    device = Path(twistd["chroot"] or "/", "dev/null")
    if not device.exists():
        raise report_startup_failure(f"{device} is missing; create it: mknod -m 666 {device} c 1 3", logged=False)
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
