"""Test the file of --port-file: written as a whole, replaced, and removed only if it is the daemon's own."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from twisted.logger import LogEvent

from echotime.config.parsers import output_file
from echotime.daemon.ports.port_file import PortFile, describe_address
from echotime.errors import StartupError
from echotime.wire.hostport import HostPort

NAME = "ports.json"


def port_file(path: Path, *ports: int) -> PortFile:
    """Return a port file with these TCP ports of 127.0.0.1."""
    return PortFile(str(path), lambda: {"tcp": [describe_address(HostPort("127.0.0.1", port)) for port in ports]})


def test_content(tmp_path: Path) -> None:
    """The file has the process ID and the addresses, whoever may read it."""
    old_umask = os.umask(0o077)
    try:
        port_file(tmp_path / NAME, 7).write()
    finally:
        os.umask(old_umask)
    content = json.loads((tmp_path / NAME).read_text(encoding="ascii"))
    assert content["pid"] == os.getpid()
    assert content["tcp"] == [{"address": "127.0.0.1:7", "host": "127.0.0.1", "port": 7}]
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o644
    assert [each.name for each in tmp_path.iterdir()] == [NAME]


def test_addresses() -> None:
    """An IPv6 address has brackets where a port follows, and a Unix socket has its path."""
    assert describe_address(HostPort("::1", 7)) == {"address": "[::1]:7", "host": "::1", "port": 7}
    assert describe_address("/run/http") == {"path": "/run/http"}


def test_replaced_as_a_whole(tmp_path: Path) -> None:
    """A reader that opened the previous file reads all of it: the file is replaced, and not overwritten."""
    (tmp_path / NAME).write_text("previous", encoding="ascii")
    with (tmp_path / NAME).open(encoding="ascii") as previous:
        port_file(tmp_path / NAME).write()
        assert previous.read() == "previous"
    assert json.loads((tmp_path / NAME).read_text(encoding="ascii"))["tcp"] == []


def test_update(tmp_path: Path) -> None:
    """A listener that is opened later is in the file from then on, but not before the start or after the end."""
    ports = [7]
    found = PortFile(str(tmp_path / NAME), lambda: {"tcp": list(ports)})
    found.update()
    assert list(tmp_path.iterdir()) == []
    found.write()
    ports.append(8)
    found.update()
    assert json.loads((tmp_path / NAME).read_text(encoding="ascii"))["tcp"] == [7, 8]
    found.remove()
    found.update()
    assert list(tmp_path.iterdir()) == []


def test_file_of_another_daemon_stays(tmp_path: Path) -> None:
    """A daemon whose file another one replaced leaves it alone at the end."""
    first, second = port_file(tmp_path / NAME, 1), port_file(tmp_path / NAME, 2)
    first.write()
    second.write()
    first.remove()
    assert json.loads((tmp_path / NAME).read_text(encoding="ascii"))["tcp"][0]["port"] == 2
    second.remove()
    second.remove()
    assert list(tmp_path.iterdir()) == []


def test_failed_start(tmp_path: Path, clean_reactor: list[LogEvent], capfd: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be written is one line at the start, and no temporary file stays."""
    (tmp_path / NAME).mkdir()
    for path in (tmp_path / "missing" / NAME, tmp_path / NAME):
        with pytest.raises(StartupError):
            port_file(path).write()
        assert f"echotime: cannot write the port file {path}: " in capfd.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == [NAME]
    assert len(clean_reactor) == 2
    clean_reactor.clear()


def test_failed_update(tmp_path: Path, clean_reactor: list[LogEvent]) -> None:
    """Without its directory the file is not updated, and the log says so. The daemon continues."""
    directory = tmp_path / "run"
    directory.mkdir()
    found = port_file(directory / NAME)
    found.write()
    (directory / NAME).unlink()
    directory.rmdir()
    found.update()
    (event,) = clean_reactor
    assert event["reason"] == f"cannot write the port file {directory / NAME}: No such file or directory"
    clean_reactor.clear()
    found.remove()


def test_accepted_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path may be relative. It names a new file or a regular one, in a directory that exists."""
    monkeypatch.chdir(tmp_path)
    assert output_file(NAME) == str(tmp_path / NAME)
    (tmp_path / NAME).touch()
    assert output_file(NAME) == str(tmp_path / NAME)


def test_rejected_paths(tmp_path: Path) -> None:
    """A directory, a link and a socket are rejected: replacing /dev/stdout would break other programs."""
    (tmp_path / NAME).touch()
    (tmp_path / "link").symlink_to(NAME)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "socket"))
    for path in (tmp_path, tmp_path / "link", tmp_path / "socket", Path("/dev/null"), Path("/dev/stdout")):
        with pytest.raises(ValueError, match="exists and is not a regular file; expected a new file"):
            output_file(str(path))
    with pytest.raises(ValueError, match=r"there is no directory '.*/missing'"):
        output_file(str(tmp_path / "missing" / NAME))
    with pytest.raises(ValueError, match="the path is empty; expected the path of a file"):
        output_file("")
