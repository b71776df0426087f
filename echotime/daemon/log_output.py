"""Choose where the log goes and what it shows, and write to standard output without ever blocking.

twistd writes its log with blocking writes. A pipe that is not read would block the whole daemon once it is full. So
would a terminal behind a lost connection.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEventAsClassicLogText, textFileLogObserver
from twisted.python.logfile import LogFile
from zope.interface import implementer

from echotime.control.peer import user_name
from echotime.counters import LOG_COUNTERS
from echotime.daemon.twistd_options import NewFile, new_file_rights
from echotime.errors import report_startup_failure
from echotime.logger import NAMESPACE, Logger
from echotime.systemd.journal import JournalObserver, is_journal
from echotime.terminal.nonblocking_writer import NonBlockingWriter

_RETRY_INTERVAL = 1.0
"""Seconds between two attempts to write."""
_STDOUT_FD = 1
_MAX_FILE_SIZE = 10_000_000
"""Bytes of a log file before it is renamed."""
_MAX_OLD_FILES = 10
"""Twisted's default is to keep all of them, and to rename each one at every rotation."""
_DEFAULT_FILE = "twistd.log"
_DETAILS_VARIABLE = "DEBUG_INVOCATION"
"""systemd sets it with RestartMode=debug; see systemd.exec(5)."""
_FOREIGN_NAMESPACES = ("twisted.", "log_legacy")
"""Namespaces of Twisted's lines. The functions of twisted.python.log use the second."""
_log = Logger()


class _LogFile(NamedTuple):
    """Hold what `file_log_observer` needs, because twistd finds it by its name and calls it without arguments."""

    path: str
    new_file: NewFile
    """Rights of a new file, also after a rotation. An existing file keeps its own."""


_log_file = _LogFile("", NewFile())


def choose_logger(twistd: Any, clock: IReactorTime) -> None:
    """Choose the observer of the log: the journal, lines on standard output that never block, or a rotated file.

    --syslog and --logger stay as given. twistd imports its logger by name before it makes the application.
    """
    global _log_file
    foreground = twistd["nodaemon"]
    if foreground:
        sys.stdout = DroppingStream(sys.stdout, clock)
        # with `stty tostop` the kernel would stop a background job that writes a log line to its terminal
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    if twistd.get("syslog") or twistd.get("logger"):
        return
    path = twistd.get("logfile") or None
    if path in {None, "-"} and (foreground or is_journal(_STDOUT_FD, os.environ)):
        observer = log_observer
    elif path == "-":
        return  # twistd reports that a daemon cannot log to standard output
    else:
        observer, _log_file = file_log_observer, _LogFile(path or _DEFAULT_FILE, new_file_rights(twistd))
    twistd["logger"] = f"{__name__}.{observer.__name__}"


def file_log_observer() -> ILogObserver:
    """Return an observer that writes to the log file, which rotates when it is full and at SIGUSR1.

    Raises StartupError if the file cannot be written.
    """
    path, (mode, uid, gid) = _log_file
    try:
        is_new = not Path(path).exists()
        # LogFile would rename a device or a pipe, too
        is_regular = is_new or Path(path).is_file()
        file = LogFile.fromFullPath(
            path,
            rotateLength=_MAX_FILE_SIZE if is_regular else None,
            defaultMode=mode if is_new else None,
            maxRotatedFiles=_MAX_OLD_FILES,
        )
        if is_new:
            os.fchown(file._file.fileno(), uid, gid)
    except OSError as error:
        raise report_startup_failure(f"--logfile {path}: {error.strerror}", logged=False) from None
    if is_regular and not signal.getsignal(signal.SIGUSR1):
        from twisted.internet import reactor

        signal.signal(signal.SIGUSR1, lambda number, frame: reactor.callFromThread(_renew, file))  # type: ignore[attr-defined]
    return _WithoutDetails(textFileLogObserver(file))


def _renew(file: LogFile) -> None:
    """Rotate a log file, or open a new one if another program has renamed or removed it."""
    previous = file._file
    try:
        is_named = os.path.samestat(Path(file.path).stat(), os.fstat(previous.fileno()))
    except OSError:
        is_named = False
    if is_named:
        _rotate(file)
        return
    try:
        # LogFile.reopen would leave no file at all if this fails
        file._openFile()
    except OSError as error:
        _log.warn("cannot open a new log file: {path}: {reason}", path=file.path, reason=error.strerror)
    else:
        previous.close()


def _rotate(file: LogFile) -> None:
    """Rotate a log file, or log why that is impossible. LogFile.rotate returns silently without the rights."""
    try:
        for path in (file.directory, file.path):
            if not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, f"Permission denied (as user {user_name(os.getuid())})", path)
        file.rotate()
    except OSError as error:
        if file._file.closed:
            file._openFile()
        _log.warn("log not rotated: {path}: {reason}", path=error.filename, reason=error.strerror)


def log_observer() -> ILogObserver:
    """Return an observer that writes to the journal if standard output is the journal's stream, else lines."""
    make_observer = JournalObserver if is_journal(_STDOUT_FD, os.environ) else textFileLogObserver
    return _WithoutDetails(make_observer(sys.stdout))


@implementer(ILogObserver)
class _WithoutDetails:
    """Pass events to another observer, but no details unless the user asks for them by $DEBUG_INVOCATION."""

    def __init__(self, observer: ILogObserver) -> None:
        self._observer = observer
        self._shows_details = os.environ.get(_DETAILS_VARIABLE) == "1"

    def __call__(self, event: LogEvent) -> None:
        if self._shows_details or not _is_detail(event):
            self._observer(event)


def _is_detail(event: LogEvent) -> bool:
    """Return True for the daemon's debug events, and for what Twisted reports of its own start and stop."""
    level = event.get("log_level", LogLevel.info)
    is_foreign = str(event.get("log_namespace", "")).startswith(_FOREIGN_NAMESPACES)
    return level is LogLevel.debug or (level is LogLevel.info and is_foreign)


class DroppingStream:
    """Write lines to a text stream, and drop and count a line that cannot be written at once.

    The number of dropped lines is written with the next line, or within a second of when writing is possible again. A
    line that was begun is completed first. `stream` is None if standard output is closed.
    """

    def __init__(self, stream: TextIO | None, clock: IReactorTime) -> None:
        self._stream = stream or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until the end
        self._stream.flush()
        self._clock = clock
        self._writer = NonBlockingWriter(self._stream.fileno())
        self._partial = b""
        self._dropped = 0
        self._retry_pending = False

    def write(self, text: str) -> int:
        """Write the text, or count its lines as dropped."""
        self._partial = self._partial[self._writer.write(self._partial) :]
        data = (self._drop_notice() + text).encode(self._stream.encoding, "backslashreplace")
        written = 0 if self._partial else self._writer.write(data)
        if written:
            self._partial, self._dropped = data[written:], 0
        else:
            lost = text.count("\n")
            self._dropped += lost
            LOG_COUNTERS.lines_lost += lost
        if (self._partial or self._dropped) and not self._retry_pending:
            self._retry_pending = True
            self._clock.callLater(_RETRY_INTERVAL, self._retry)
        return len(text)

    def _drop_notice(self) -> str:
        """Return the line about dropped lines in the format of twistd's log, "" if there are none."""
        if not self._dropped:
            return ""
        event = {"log_format": "log lines lost: {number}", "number": self._dropped, "log_time": time.time()}
        return formatEventAsClassicLogText({**event, "log_namespace": NAMESPACE, "log_level": LogLevel.warn}) or ""

    def _retry(self) -> None:
        self._retry_pending = False
        self.write("")

    def flush(self) -> None:
        """Do nothing. There is no buffer but for a partial line, which is retried."""

    def fileno(self) -> int:
        """Return a descriptor for other writers that must not block."""
        return self._writer.descriptor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
