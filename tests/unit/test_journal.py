"""Test systemd/journal.py: entries for journald, and the lines that replace them."""

from __future__ import annotations

import io
import os
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure

from echotime.systemd.journal import JournalObserver, is_journal


@pytest.fixture
def journald() -> Iterator[socket.socket]:
    """Provide a socket that stands for journald's."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"{directory}/socket")
        sock.setblocking(False)
        yield sock


def fields(datagram: bytes) -> dict[str, str]:
    """Decode the fields of an entry."""
    found = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        (length,) = struct.unpack_from("<Q", rest)
        found[name.decode()] = rest[8 : 8 + length].decode()
        assert rest[8 + length : 9 + length] == b"\n"
        datagram = rest[9 + length :]
    return found


def logged(path: str, level: LogLevel, text: str, **more: Any) -> str:
    """Log an event and return what goes to standard output."""
    stream = io.StringIO()
    journal = JournalObserver(stream, path)
    Logger("echotime.test", observer=LogPublisher(journal)).emit(level, text, **more)
    journal._socket.close()
    return stream.getvalue()


@pytest.mark.parametrize(
    ("peer", "address"),
    [("192.0.2.7:4711", "192.0.2.7"), ("[2001:db8::1]:4711", "2001:db8::1"), ("[fe80::1%eth0]:1", "fe80::1%eth0")],
)
def test_fields(journald: socket.socket, peer: str, address: str) -> None:
    """An entry has text, priority, and the fields of the event, with a peer's address by itself, too."""
    assert logged(journald.getsockname(), LogLevel.warn, "hello {peer}", peer=peer, bytes_in=7, other=object()) == ""
    assert fields(journald.recv(4096)) == {
        "MESSAGE": f"hello {peer}",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "echotime",
        "ECHOTIME_LOGGER": "echotime.test",
        "ECHOTIME_PEER": peer,
        "ECHOTIME_BYTES_IN": "7",
        "ECHOTIME_ADDRESS": address,
    }


def test_traceback(journald: socket.socket) -> None:
    """A traceback is part of the text; without journald each of its lines has the priority."""
    try:
        raise ValueError("reason")
    except ValueError:
        failure = Failure()
    stream = io.StringIO()
    for path in (str(journald.getsockname()), "/nowhere"):
        journal = JournalObserver(stream, path)
        Logger("echotime.test", observer=LogPublisher(journal)).failure("it failed", failure)
        journal._socket.close()
    text = fields(journald.recv(65536))["MESSAGE"]
    assert text.startswith("it failed\nTraceback")
    assert stream.getvalue() == "".join(f"<2>{line}\n" for line in text.split("\n"))


@pytest.mark.parametrize(
    ("level", "priority"),
    [(LogLevel.debug, 7), (LogLevel.info, 6), (LogLevel.warn, 4), (LogLevel.error, 3), (LogLevel.critical, 2)],
)
def test_lines(level: LogLevel, priority: int) -> None:
    """Without journald a line has the priority that journald understands on standard output."""
    assert logged("/nowhere", level, "hello") == f"<{priority}>hello\n"


def test_journald_is_busy(journald: socket.socket) -> None:
    """An entry for which journald has no space is written as a line at once."""
    lines = [logged(journald.getsockname(), LogLevel.info, "hello {number}", number=number) for number in range(600)]
    assert lines[0] == ""
    assert lines[-1] == "<6>hello 599\n"


def test_nothing_to_say(journald: socket.socket) -> None:
    """An event without text makes no entry."""
    assert logged(journald.getsockname(), LogLevel.info, "") == ""
    with pytest.raises(BlockingIOError):
        journald.recv(100)


def test_is_journal() -> None:
    """The stream is the journal's if its device and inode are those in JOURNAL_STREAM."""
    with Path(os.devnull).open("rb") as stream:
        found = os.fstat(stream.fileno())
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(stream.fileno(), environ)
        assert not is_journal(stream.fileno(), {})
        assert not is_journal(stream.fileno(), {"JOURNAL_STREAM": "0:0"})
    assert not is_journal(stream.fileno() if not stream.closed else 10_000, environ)
