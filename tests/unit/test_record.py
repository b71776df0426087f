"""Test --record: the lines, the writer and its thread, the target, and what is lost."""

from __future__ import annotations

import errno
import json
import os
import queue
import select
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from echotime.counters import RECORD_COUNTERS
from echotime.daemon import hangup
from echotime.daemon.hangup import MIN_INTERVAL, ReopenService
from echotime.daemon.record import service as record_service
from echotime.daemon.record import writer
from echotime.daemon.record.service import FLUSH_INTERVAL, STOP_TIMEOUT, RecordService
from echotime.daemon.record.target import Target, open_target
from echotime.daemon.record.writer import RecordWriter
from echotime.daemon.twistd_options import NewFile, new_file_rights
from echotime.errors import StartupError
from echotime.services.connection_record import ConnectionRecord
from echotime.services.traffic import TrafficLog
from echotime.sockopt.tcp_info import FIGURES_SIZE, figures_json
from tests.support.twistd_process import LIMIT

LINE = b"x" * 99 + b"\n"


# --- the lines


@dataclass
class Transport:
    """Stand for a transport that has kept its final state."""

    final_tcp_info: bytes = b""
    final_sockname: tuple[Any, ...] = ()


@dataclass
class Connection:
    """Stand for a connection that ended."""

    number: int = 7
    peer: str = '[fe80::1%eth"0]:1'
    via: str = ""
    behavior: str = ""
    messages: int = 1
    bytes_in: int = 5
    bytes_out: int = 16
    connected_at: float = 1.5
    transport: Any = field(default_factory=Transport)


def recorded(connection: Connection, how: str = "client") -> dict[str, Any]:
    """Return the line of a connection that ends at 4 s of the reactor."""
    written: list[bytes] = []
    clock = Clock()
    clock.advance(4)
    ConnectionRecord(written.append, clock).connection_closed(connection, how)
    (line,) = written
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    found: dict[str, Any] = json.loads(line)
    return found


def test_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line has all that is known, and any text is valid JSON."""
    monkeypatch.setattr("time.time", lambda: 1764360000.25)
    how = 'error: "\\\n\x1b\u2028'
    assert recorded(Connection(behavior="corrupt:offset=1"), how) == {
        "event": "connection_closed",
        "time": "2025-11-28T20:00:00.250000Z",
        "connection": 7,
        "peer": '[fe80::1%eth"0]:1',
        "via": "",
        "server": "",
        "started": "2025-11-28T19:59:57.750000Z",
        "seconds": 2.5,
        "how": how,
        "behavior": "corrupt:offset=1",
        "messages": 1,
        "bytes_in": 5,
        "bytes_out": 16,
        "tcp": None,
    }


def test_kernel_figures() -> None:
    """The figures are those of the kernel, and the local address is that of the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        port = server.getsockname()[1]
        accepted, _ = server.accept()
        with accepted:
            accepted.sendall(b"x" * 16)
            assert len(client.recv(16, socket.MSG_WAITALL)) == 16
            raw = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, FIGURES_SIZE)
            found = recorded(Connection(transport=Transport(raw, accepted.getsockname())))
    assert found["server"] == f"127.0.0.1:{port}"
    assert found["tcp"]["mss"] > 500
    assert found["tcp"]["bytes_acked"] == 16
    assert 0 < found["tcp"]["rtt"] < LIMIT


def test_earlier_kernel() -> None:
    """A field that the kernel does not return is null, and so is a minimum that was not measured."""
    whole = json.loads(figures_json(bytes(FIGURES_SIZE)))
    assert not any(whole.values())
    for size in range(FIGURES_SIZE):
        found = json.loads(figures_json(bytes(size)))
        assert found.keys() == whole.keys()
        known = [name for name, number in found.items() if number is not None]
        assert known == list(whole)[: len(known)]
        assert (size < 104) == (found["retransmits"] is None)
        assert (size < 168) == (found["delivery_rate"] is None)
    unknown = bytearray(FIGURES_SIZE)
    unknown[148:152] = b"\xff" * 4
    assert json.loads(figures_json(bytes(unknown)))["min_rtt"] is None


def test_each_connection_once() -> None:
    """The traffic log passes each connection to the record, with or without a message."""
    traffic, seen = TrafficLog(Clock()), []
    traffic.record_connection = lambda connection, how: seen.append((connection.messages, how))
    for messages in (0, 1):
        traffic.connection_closed(Connection(messages=messages), "client")
    assert seen == [(0, "client"), (1, "client")]


# --- the target


def test_new_file(tmp_path: Path) -> None:
    """A new file has the mode of the log, or that of --umask; an existing one keeps its own, and is appended to."""
    for twistd, mode in (({}, 0o640), ({"umask": 0o027, "uid": None}, 0o640), ({"umask": 0}, 0o666)):
        path = tmp_path / f"{len(twistd)}"
        old = os.umask(0o077)
        try:
            os.close(open_target(str(path), new_file_rights(twistd)).descriptor)
        finally:
            os.umask(old)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    path.chmod(0o600)
    path.write_bytes(b"1")
    target = open_target(str(path), NewFile())
    os.write(target.descriptor, b"2")
    os.close(target.descriptor)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"12", 0o600)
    assert target.max_write is None


@pytest.mark.skipif(os.geteuid() != 0, reason="changing an owner takes root")
def test_owner(tmp_path: Path) -> None:
    """With --uid a new file belongs to that user, and an existing one does not change."""
    path = tmp_path / "file"
    for uid in (54321, 54322):
        os.close(open_target(str(path), new_file_rights({"uid": uid, "gid": 54321})).descriptor)
        assert (path.stat().st_uid, path.stat().st_gid) == (54321, 54321)


def test_refused_targets(tmp_path: Path) -> None:
    """A directory, a missing directory and a block device are refused."""
    cases = [(tmp_path, errno.EISDIR), (tmp_path / "missing" / "file", errno.ENOENT)]
    block = tmp_path / "block"
    if os.geteuid() == 0:
        os.mknod(block, stat.S_IFBLK | 0o600, os.makedev(7, 0))
        cases.append((block, errno.EINVAL))
    for path, expected in cases:
        with pytest.raises(OSError, match=r".") as caught:
            open_target(str(path), NewFile())
        assert caught.value.errno in {expected, errno.ENXIO, errno.EPERM}, path


def test_symbolic_link(tmp_path: Path) -> None:
    """A link is not followed: a user who may write the directory could have root write any file."""
    (tmp_path / "file").write_bytes(b"")
    for target in ("file", "missing"):
        link = tmp_path / f"to {target}"
        link.symlink_to(target)
        with pytest.raises(
            OSError, match=r"it is a symbolic link; expected a file, a FIFO, /dev/stdout or /dev/stderr"
        ):
            open_target(str(link), NewFile())
    assert not (tmp_path / "missing").exists()


def test_descriptor_of_a_shell() -> None:
    """A path below /dev/fd is followed: a shell gives such a path for ``>(COMMAND)``."""
    reading, writing = os.pipe()
    target = open_target(f"/dev/fd/{writing}", NewFile())
    os.write(target.descriptor, b"1\n")
    assert os.read(reading, 100) == b"1\n"
    for each in (reading, writing, target.descriptor):
        os.close(each)


def test_fifo_without_reader(tmp_path: Path) -> None:
    """A FIFO opens before there is a reader, stays open without one, and gets whole lines."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    target = open_target(str(path), NewFile())
    assert target.max_write == select.PIPE_BUF
    os.write(target.descriptor, b"kept\n")
    with path.open("rb", buffering=0) as reader:
        assert reader.read(100) == b"kept\n"
    os.write(target.descriptor, b"no EPIPE\n")
    os.close(target.descriptor)


# --- the writer


class Disk:
    """Stand for os in the writer, with a disk that takes `room` bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.error = errno.ENOSPC
        self.close_error: int | None = None
        self.pieces: list[bytes] = []

    def write(self, descriptor: int, data: memoryview) -> int:
        if not self.room:
            raise OSError(self.error, os.strerror(self.error))
        written = os.write(descriptor, data[: self.room])
        self.room -= written
        self.pieces.append(bytes(data[:written]))
        return written

    def close(self, descriptor: int) -> None:
        os.close(descriptor)  # Linux does so even if close(2) returns an error
        if self.close_error is not None:
            raise OSError(self.close_error, os.strerror(self.close_error))


class Writing:
    """Run a RecordWriter on a file."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch, room: int = 2**30, max_write: int | None = None):
        monkeypatch.setattr(writer, "RETRY_INTERVAL", 0.001)
        self.disk = Disk(room)
        monkeypatch.setattr(writer, "os", self.disk)
        self.path = path
        self.fault: OSError | None = None
        self.max_write = max_write
        self.reports: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
        self.ended = threading.Event()
        self.writer = RecordWriter(self.open, lambda *report: self.reports.put(report))
        self.writer.start(self.ended.set)

    def open(self) -> Target:
        """Open the file, or fail."""
        if self.fault is not None:
            raise self.fault
        return Target(os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), self.max_write)

    def report(self) -> tuple[str, bool]:
        """Return the next report of the thread."""
        return self.reports.get(timeout=LIMIT)

    def stop(self) -> bytes:
        """Stop the writer, and return the contents of the file."""
        self.writer.stop()
        assert self.ended.wait(LIMIT)
        return self.path.read_bytes()


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was full loses nothing: the line that was cut is completed. Both are reported once."""
    made = Writing(tmp_path / "file", monkeypatch, room=150)
    made.writer.put(LINE * 2)
    made.writer.put(LINE)
    assert made.report() == ("cannot write: No space left on device (ENOSPC); trying again every second", True)
    assert (made.writer.bytes_put, made.writer.bytes_done, made.writer.lines_done) == (300, 150, 1)
    made.disk.room = 2**20
    assert made.report() == ("written again", False)
    assert made.stop() == LINE * 3
    assert (made.writer.lines_put, made.writer.lines_done) == (3, 3)
    assert made.reports.empty()


def test_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread gets no signal. SIGHUP during a reload, which the main thread blocks, would be lost there."""
    made = Writing(tmp_path / "file", monkeypatch)
    assert made.writer._thread is not None
    status = Path(f"/proc/self/task/{made.writer._thread.native_id}/status").read_text(encoding="ascii")
    (blocked,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigBlk"))
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
        assert blocked >> number - 1 & 1, number
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    made.stop()


def test_reopened_while_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file begins with a whole line, though a part of it is in the old one."""
    made = Writing(tmp_path / "file", monkeypatch, room=150)
    made.writer.put(LINE * 2)
    made.report()
    (tmp_path / "file").rename(tmp_path / "old")
    made.writer.reopen()
    assert made.report() == ("opened again", False)
    made.disk.room = 2**20
    assert made.report() == ("written again", False)
    assert made.stop() == LINE
    assert (tmp_path / "old").read_bytes() == LINE + LINE[:50]
    assert (made.writer.bytes_done, made.writer.lines_done) == (200, 2)


def test_reopening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The target is opened again while nothing is written, too, and if that fails the old one goes on."""
    made = Writing(tmp_path / "file", monkeypatch)
    made.fault = PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    made.writer.reopen()
    assert made.report() == ("not opened again: Permission denied (EACCES); the old file goes on", True)
    made.writer.put(LINE)
    assert made.stop() == LINE


@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT])
def test_close_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """An error of close(2), as of NFS, is reported, and ends neither the writing nor the stop."""
    expected = f"closing failed: {os.strerror(number)} ({errno.errorcode[number]}); the last lines may be missing", True
    made = Writing(tmp_path / "file", monkeypatch)
    made.disk.close_error = number
    made.writer.put(LINE)
    made.writer.reopen()
    assert made.report() == expected
    assert made.report() == ("opened again", False)
    made.writer.put(LINE)
    assert made.stop() == LINE * 2
    assert made.report() == expected


def test_close_error_without_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that ends before it was started reports the same error."""
    disk, reports = Disk(0), []
    disk.close_error = errno.EIO
    monkeypatch.setattr(writer, "os", disk)
    idle = RecordWriter(lambda: open_target(str(tmp_path / "file"), NewFile()), lambda *report: reports.append(report))
    idle.stop()
    assert reports == [("closing failed: Input/output error (EIO); the last lines may be missing", True)]


def test_stop_while_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk does not delay the stop, and what was not written can be counted."""
    made = Writing(tmp_path / "file", monkeypatch, room=50)
    for _ in range(3):
        made.writer.put(LINE)
    made.report()
    assert made.stop() == LINE[:50]
    assert made.writer.lines_put - made.writer.lines_done == 3


def test_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write to what others may write to, too, has whole lines, and a line that is too long is cut."""
    made = Writing(tmp_path / "file", monkeypatch, max_write=250)
    made.writer.put(LINE * 4 + b"y" * 300 + b"\n" + LINE)
    made.stop()
    assert [len(each) for each in made.disk.pieces] == [200, 200, 250, 151]
    assert made.disk.pieces[0] == LINE * 2


def test_others_make_it_nonblocking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A standard stream that another process made non-blocking is waited for, and is no fault."""
    made = Writing(tmp_path / "file", monkeypatch, room=0)
    made.disk.error = errno.EAGAIN
    made.writer.put(LINE)
    threading.Timer(0.05, setattr, (made.disk, "room", 2**20)).start()
    while made.writer.lines_done < 1:
        assert made.reports.empty()
    assert made.stop() == LINE


# --- the service


class ThreadClock(Clock):
    """A clock to which threads can pass calls, which run when it advances."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.callFromThread = lambda call, *args: self._calls.put(lambda: call(*args))

    def run_next(self) -> None:
        """Run the next call of a thread."""
        self._calls.get(timeout=LIMIT)()


@pytest.fixture
def lost() -> Iterator[Callable[[], int]]:
    """Provide a function that returns how many lines were lost, and reset the counter."""
    before, RECORD_COUNTERS.lines_lost = RECORD_COUNTERS.lines_lost, 0
    yield lambda: RECORD_COUNTERS.lines_lost
    RECORD_COUNTERS.lines_lost = before


def test_lost_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: Callable[[], int]) -> None:
    """Lines beyond the bound are counted, and a line tells how many as soon as there is room."""
    monkeypatch.setattr(record_service, "MAX_PENDING", 1000)
    clock, path = ThreadClock(), tmp_path / "file"
    service = RecordService(str(path), NewFile(), clock)
    service.privilegedStartService()
    for _ in range(12):
        service.write(LINE)
    assert lost() == 2
    assert service.lost_counts() == {f"record: {path}: lines lost": 2}
    clock.advance(FLUSH_INTERVAL)
    service.write(LINE)
    assert lost() == 3, "nothing is written yet"
    service.startService()
    assert service._writer is not None
    while service._writer.bytes_done < 1000:
        pass
    clock.advance(FLUSH_INTERVAL)
    service.write(LINE)
    service.before_end = lambda: service.write(b"last\n")
    ended: list[None] = []
    service.stopService().addCallback(ended.append)
    clock.run_next()
    assert ended == [None]
    assert clock.getDelayedCalls() == []
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines[:10] == [LINE] * 10
    assert lines[11:] == [LINE, b"last\n"]
    notice = json.loads(lines[10])
    assert notice.pop("time").endswith("Z")
    assert notice == {"event": "lines_lost", "new": 3, "total": 3}


def test_stop_while_not_read(tmp_path: Path, lines: list[str], lost: Callable[[], int]) -> None:
    """A FIFO that nobody reads delays the stop for STOP_TIMEOUT only, and the lines are counted and logged."""
    clock, path = ThreadClock(), tmp_path / "fifo"
    os.mkfifo(path)
    service = RecordService(str(path), NewFile(), clock)
    service.privilegedStartService()
    service.startService()
    number = 5000
    for _ in range(number):
        service.write(LINE)
    ended: list[None] = []
    service.stopService().addCallback(ended.append)
    assert ended == []
    assert service._writer is not None
    while not service._writer.lines_done:
        pass
    clock.advance(STOP_TIMEOUT)
    assert ended == [None]
    assert 0 < lost() < number
    assert "record: {path}: not written at the stop: {lines} lines" in lines
    with path.open("rb", buffering=0) as reader:  # let the thread end
        left = number * len(LINE)
        while left:
            left -= len(reader.read(2**16))


def test_start_faults(tmp_path: Path, lost: Callable[[], int], clean_reactor: list[LogEvent]) -> None:
    """A target that cannot be opened is a StartupError, and a service that was not started stops at once."""
    service = RecordService(str(tmp_path), NewFile(), ThreadClock())
    with pytest.raises(StartupError, match=f"--record {tmp_path}: Is a directory"):
        service.privilegedStartService()
    clean_reactor.clear()
    service.write(LINE)
    assert lost() == 1, "a refusal before the start"
    assert service.stopService().called
    opened = RecordService(str(tmp_path / "file"), NewFile(), ThreadClock())
    opened.privilegedStartService()
    assert opened.stopService().called


def test_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_reactor: list[LogEvent]) -> None:
    """Without a thread, as with TasksMax=1 of systemd, the daemon does not start, and the signals stay as they are."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    service = RecordService(str(tmp_path / "file"), NewFile(), ThreadClock())
    service.privilegedStartService()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        with pytest.raises(StartupError, match="file: can't start new thread"):
            service.startService()
    clean_reactor.clear()
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert service._writer is not None
    descriptor = service._writer._target.descriptor
    service.stopService()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


# --- SIGHUP without --config


@pytest.mark.parametrize(
    ("hung_up", "handler"), [(False, signal.SIG_DFL), (True, signal.SIG_DFL), (True, signal.SIG_IGN)]
)
def test_hangup(monkeypatch: pytest.MonkeyPatch, hung_up: bool, handler: signal.Handlers) -> None:
    """SIGHUP opens the record again, once for any number of signals at a time.

    It does not if the terminal hung up, which stops the daemon, except under nohup.
    """
    monkeypatch.setattr(hangup, "stop_if_hung_up", lambda: hung_up)
    clock: Any = Clock()
    clock.callFromThread = lambda call: call()
    opened: list[int] = []
    service = ReopenService(clock, lambda: opened.append(1))
    reopens = handler is signal.SIG_IGN or not hung_up
    before = signal.signal(signal.SIGHUP, handler)
    try:
        service.startService()
        for _ in range(100):
            signal.raise_signal(signal.SIGHUP)
        assert len(opened) == reopens
        clock.advance(MIN_INTERVAL)
        assert len(opened) == 2 * reopens
        service.stopService()
        signal.raise_signal(signal.SIGHUP)
        assert len(opened) == 2 * reopens
    finally:
        signal.signal(signal.SIGHUP, before)
