"""Test daemon/log_output.py: lines are whole, and lost lines are reported."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.python.logfile import LogFile

from echotime.counters import LOG_COUNTERS
from echotime.daemon import log_output
from echotime.daemon.log_output import DroppingStream, choose_logger
from echotime.daemon.twistd_options import NewFile

_PAGE = 4096
_LINE = "x" * 99 + "\n"
_IN_A_PAGE = _PAGE // len(_LINE)
_LOST = re.compile(rb"^\S+ \[echotime#warn\] log lines lost: (\d+)\n", re.MULTILINE)


class Written(NamedTuple):
    """Hold a stream and the reading end of its output."""

    stream: DroppingStream
    clock: Clock
    reader: int

    def read(self, size: int = _PAGE) -> bytes:
        """Read from the stream's other end, without blocking."""
        try:
            return os.read(self.reader, size)
        except BlockingIOError:
            return b""

    def fill(self, lines: int) -> None:
        """Write so many lines to the stream."""
        for _ in range(lines):
            self.stream.write(_LINE)


def close(stream: DroppingStream) -> None:
    """Close the descriptor that the stream opened."""
    stream._writer.close()


@pytest.fixture(params=["opened anew", "polled"])
def pipe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Provide a pipe of one page, reopened or polled by the stream."""

    def refused(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PAGE)
    with os.fdopen(writer, "w", encoding="ascii") as given:
        clock = Clock()
        with monkeypatch.context() as patch:
            if request.param == "polled":
                patch.setattr(log_output.os, "open", refused)  # type: ignore[attr-defined]
            stream = DroppingStream(given, clock)
        yield Written(stream, clock, reader)
        os.close(reader)
        close(stream)


def test_what_is_missing_is_told_in_time(pipe: Written) -> None:
    """Lost lines are counted, and reported once within a second after there is space."""
    pipe.fill(100)
    shown = pipe.read().count(b"\n")
    assert 0 < shown <= _IN_A_PAGE
    pipe.clock.advance(1)
    found = _LOST.fullmatch(pipe.read())
    assert found is not None
    assert int(found[1]) + shown >= 100 - 1, "only a partial line may be missing"
    assert pipe.clock.getDelayedCalls() == []


def test_what_is_missing_is_told_before_the_next_line(pipe: Written) -> None:
    """Lost lines are reported before the next line that is written, and counted."""
    lost_before = LOG_COUNTERS.lines_lost
    pipe.fill(100)
    everything = pipe.read()
    pipe.stream.write("next\n")
    everything += pipe.read()
    assert everything.endswith(b"\nnext\n")
    found = _LOST.search(everything)
    assert found is not None
    assert everything.count(_LINE.encode()) + int(found[1]) == 100
    assert LOG_COUNTERS.lines_lost - lost_before == int(found[1])
    pipe.clock.advance(1)
    assert pipe.clock.getDelayedCalls() == []


def test_lines_are_whole(pipe: Written) -> None:
    """A partial line is completed, also if it is longer than the whole buffer."""
    long = "y" * 3 * _PAGE + "\n"
    pipe.stream.write(long)
    pipe.stream.write("lost\n")
    everything = b""
    for _ in range(9):
        everything += pipe.read()
        pipe.clock.advance(1)
    assert everything.startswith(long.encode())
    assert _LOST.fullmatch(everything, len(long))


def test_no_reader(pipe: Written) -> None:
    """A pipe without a reader is polled once a second, and raises nothing."""
    other = os.open(os.devnull, os.O_RDONLY)
    os.dup2(other, pipe.reader)
    os.close(other)
    pipe.fill(3)
    for _ in range(3):
        assert len(pipe.clock.getDelayedCalls()) == 1
        pipe.clock.advance(1)


def test_file(tmp_path: Path) -> None:
    """A file that was full is continued at its end, and a partial line is completed."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "log"
    clock = Clock()
    with path.open("w", encoding="ascii") as file:
        stream = DroppingStream(file, clock)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))
        try:
            for _ in range(5):
                stream.write(_LINE)
            clock.advance(5)
            assert path.stat().st_size == 150
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        clock.advance(1)
    written = path.read_bytes()
    assert written.startswith(2 * _LINE.encode())
    found = _LOST.fullmatch(written, 2 * len(_LINE))
    assert found is not None
    assert found[1] == b"3"
    assert clock.getDelayedCalls() == []


def test_socket() -> None:
    """A socket never blocks the writer, and its mode is unchanged for other processes."""
    here, there = socket.socketpair()
    clock = Clock()
    with here, os.fdopen(there.detach(), "w", encoding="ascii") as given:
        stream = DroppingStream(given, clock)
        for _ in range(20_000):
            stream.write(_LINE)
        assert os.get_blocking(given.fileno())
        here.settimeout(0)
        read: list[bytes] = []
        for _ in range(20_000):
            try:
                read.append(here.recv(_PAGE))
            except BlockingIOError:
                break
        clock.advance(1)
        found = _LOST.search(here.recv(_PAGE))
        assert found is not None
        assert b"".join(read).count(b"\n") + int(found[1]) in {20_000, 19_999}
        close(stream)


def test_full() -> None:
    """A device that is always full raises nothing and buffers nothing."""
    with Path("/dev/full").open("w", encoding="ascii") as full:
        stream = DroppingStream(full, Clock())
        for _ in range(3):
            assert stream.write(_LINE) == len(_LINE)
        stream.flush()
        assert stream._partial == b""


_OURS = "echotime.daemon.log_output.log_observer"
_FILE = "echotime.daemon.log_output.file_log_observer"


@pytest.mark.parametrize(
    ("twistd", "in_front", "journal"),
    [
        ({"nodaemon": True}, _OURS, _OURS),
        ({"nodaemon": True, "logfile": "-"}, _OURS, _OURS),
        ({"nodaemon": False}, _FILE, _OURS),
        ({"nodaemon": False, "logfile": "-"}, None, _OURS),
        ({"nodaemon": True, "logfile": "twistd.log"}, _FILE, _FILE),
        ({"nodaemon": True, "syslog": True}, None, None),
        ({"nodaemon": True, "logger": "a.logger"}, "a.logger", "a.logger"),
    ],
)
def test_choice(
    twistd: dict[str, Any], in_front: str | None, journal: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logger depends on twistd's options; standard output of `twistd -n` never blocks."""
    with Path(os.devnull).open("w", encoding="ascii") as given:
        for here, logger in ((False, in_front), (True, journal)):
            with monkeypatch.context() as patch:
                patch.setattr(log_output, "is_journal", lambda *descriptor, here=here: here)
                patch.setattr(sys, "stdout", given)
                patch.setattr(signal, "signal", lambda *change: None)
                options = dict(twistd)
                choose_logger(options, Clock())
                assert options.get("logger") == logger
                assert (
                    isinstance(sys.stdout, DroppingStream) is (sys.stdout is not given) is twistd.get("nodaemon", False)
                )


def test_what_cannot_be_encoded(tmp_path: Path) -> None:
    """A character that cannot be encoded is escaped."""
    with (tmp_path / "log").open("w", encoding="ascii") as file:
        DroppingStream(file, Clock()).write("\u20ac\n")
    assert (tmp_path / "log").read_text(encoding="ascii") == "\\u20ac\n"


def test_closed() -> None:
    """A closed standard output loses nothing that is counted, and is not a terminal."""
    clock = Clock()
    stream: Any = DroppingStream(None, clock)
    assert stream.write(_LINE) == len(_LINE)
    assert clock.getDelayedCalls() == []
    assert not stream.isatty()
    assert os.path.samestat(os.fstat(stream.fileno()), Path(os.devnull).stat())
    stream._stream.close()


def test_old_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file rotates when it is full, and the oldest files are removed, also those from before."""
    log = tmp_path / "log"
    for number in range(1, 500):
        Path(f"{log}.{number}").touch()
    monkeypatch.setattr(log_output, "_log_file", log_output._LogFile(str(log), NewFile()))
    monkeypatch.setattr(log_output, "_MAX_FILE_SIZE", 100)
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_IGN)
    observer: Any = log_output.file_log_observer()
    for number in range(30):
        observer({"log_format": "{text}", "text": "x" * 100, "log_time": 0.0, "number": number})
    observer._observer._outFile.close()
    names = {each.name for each in tmp_path.iterdir()}
    assert names == {"log", *(f"log.{number}" for number in range(1, log_output._MAX_OLD_FILES + 1))}


def test_a_device_is_not_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file that is a device, such as /dev/null, does not rotate."""
    device = tmp_path / "device"
    device.symlink_to(os.devnull)
    monkeypatch.setattr(log_output, "_log_file", log_output._LogFile(str(device), NewFile()))
    monkeypatch.setattr(log_output, "_MAX_FILE_SIZE", 100)
    observer: Any = log_output.file_log_observer()
    for _ in range(3):
        observer({"log_format": "{text}", "text": "x" * 100, "log_time": 0.0})
    observer._observer._outFile.close()
    assert [each.name for each in tmp_path.iterdir()] == ["device"]


@pytest.mark.parametrize("variable", ["", "1"])
def test_details(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Details and Twisted's own lines are hidden unless the environment asks for them; its errors never are."""
    monkeypatch.setenv("DEBUG_INVOCATION", variable)
    monkeypatch.setattr(log_output, "_log_file", log_output._LogFile(str(tmp_path / "log"), NewFile()))
    observer: Any = log_output.file_log_observer()
    for namespace, level, text in (
        ("echotime", LogLevel.info, "ours"),
        ("echotime", LogLevel.debug, "our detail"),
        ("twisted.internet.base", LogLevel.info, "its detail"),
        ("log_legacy", LogLevel.info, "its old detail"),
        ("twisted.internet.base", LogLevel.warn, "its warning"),
        ("log_legacy", LogLevel.critical, "its error"),
        ("stdout", LogLevel.info, "printed"),
    ):
        observer({"log_format": text, "log_namespace": namespace, "log_level": level, "log_time": 0.0})
    observer._observer._outFile.close()
    shown = [line.rpartition("] ")[2] for line in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert [each for each in shown if "detail" not in each] == ["ours", "its warning", "its error", "printed"]
    assert len(shown) == (7 if variable else 4)


@pytest.mark.parametrize(("umask", "mode"), [(None, 0o640), (0o022, 0o644)])
def test_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int | None, mode: int) -> None:
    """A log file has one mode before and after a rotation, whatever the umask is. An existing file keeps its mode."""
    path = tmp_path / "log"
    monkeypatch.setattr(log_output.signal, "getsignal", lambda number: True)  # type: ignore[attr-defined]
    for expected in (mode, 0o600):
        choose_logger({"nodaemon": False, "logfile": str(path), "umask": umask}, Clock())
        file = log_output.file_log_observer()._observer._outFile  # type: ignore[attr-defined]
        before = os.umask(0o077)
        log_output._renew(file)
        os.umask(before)
        file.close()
        assert {stat.S_IMODE(each.stat().st_mode) for each in (path, tmp_path / "log.1")} == {expected}
        path.chmod(0o600)


@pytest.mark.parametrize("number", [errno.EPERM, 0])
def test_not_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """A rotation that is impossible is logged with the reason, and the log goes on in the same file."""

    def rename(*names: str) -> None:
        raise OSError(number, "Operation not permitted", names[0])

    logged: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(log_output._log, "warn", lambda text, **values: logged.append((text, values)))
    path = tmp_path / "log"
    file = LogFile.fromFullPath(str(path))
    if number:
        monkeypatch.setattr(os, "rename", rename)
    else:
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    log_output._renew(file)
    file.write("on")
    file.close()
    assert path.read_text(encoding="utf-8") == "on"
    assert len(logged) == 1
    assert logged[0][0] == "log not rotated: {path}: {reason}"
    assert str(logged[0][1]["path"]) == str(path if number else tmp_path)


def test_renamed_by_another_program(tmp_path: Path) -> None:
    """At SIGUSR1 a file that another program renamed is not rotated, but opened again, if that is possible."""
    log, moved = tmp_path / "logs" / "log", tmp_path / "moved"
    log.parent.mkdir()
    file = LogFile.fromFullPath(str(log))
    file.write("one")
    log.rename(moved)
    log_output._renew(file)
    file.write("two")
    assert (moved.read_text(), log.read_text()) == ("one", "two")
    log_output._renew(file)
    file.write("three")
    assert (log.with_suffix(".1").read_text(), log.read_text()) == ("two", "three")
    log.parent.rename(tmp_path / "elsewhere")
    log_output._renew(file)
    file.write("four")
    file.close()
    assert (tmp_path / "elsewhere" / "log").read_text() == "threefour"
