"""Test config/conflicts.py: addresses and paths that two options of the daemon have."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from echotime.config import conflicts
from tests.unit.test_options import faults, parsed

PUBLIC = "--http-public-metrics"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--tcp", "127.0.0.1:7", "--http", "7", PUBLIC], "--http 7: --tcp has this address, too"),
        (["--tcp", "127.0.0.1:7", "--behave", "7=client"], "--behave 7=client: --tcp has this address, too"),
        (["--udp", "127.0.0.1:7", "--behave", "7=drop"], "--behave 7=drop: --udp has this address, too"),
        (["--http", "7", PUBLIC, "--behave", "7=echo"], "--behave 7=echo: --http has this address, too"),
        (["--behave", "12345=drop"], "--behave 12345=drop: overlaps --udp 0.0.0.0:12345"),
        (["--tcp", "7", "--http", "7", PUBLIC], "--http 7: overlaps --tcp 0.0.0.0:7"),
        (["--tcp", "127.0.0.1:7", "--tcp", "7"], "--tcp 7: overlaps --tcp 127.0.0.1:7"),
        (["--udp", "[::]:7", "--udp", "[::1]:7"], "--udp [::1]:7: overlaps --udp [::]:7"),
    ],
)
def test_same_version(args: list[str], expected: str) -> None:
    """An address of one option that another has, or includes, is a fault that names the other."""
    assert faults(*args) == [expected]


def test_dual_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """[::] includes all IPv4 addresses, unless IPV6_V6ONLY is set on it, by --sockopt or by the kernel's default."""
    monkeypatch.setattr(conflicts, "_is_dual_stack_default", lambda: True)
    hint = "[::] serves IPv4, too, unless --sockopt IPV6_V6ONLY=on"
    assert faults("--tcp", "7", "--tcp", "[::]:7") == [f"--tcp [::]:7: overlaps --tcp 0.0.0.0:7; {hint}"]
    assert faults("--tcp", "[::]:7", "--http", "7", PUBLIC) == [f"--http 7: overlaps --tcp [::]:7; {hint}"]
    assert len(parsed("--tcp", "7", "--tcp", "[::]:7", "--sockopt", "IPV6_V6ONLY=on").tcp) == 2
    remote = ("--http", "7", "--http", "[::]:7", "--http-allow-remote", PUBLIC)
    # --sockopt does not act on HTTP
    for more in ((), ("--tcp", "[::1]:8", "--sockopt", "IPV6_V6ONLY=on")):
        assert faults(*remote, *more) == ["--http [::]:7: overlaps --http 127.0.0.1:7; [::] serves IPv4, too"]
    monkeypatch.setattr(conflicts, "_is_dual_stack_default", lambda: False)
    assert len(parsed("--tcp", "7", "--tcp", "[::]:7").tcp) == 2


def test_dual_stack_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's default is that of a new socket. Without IPv6 nothing overlaps."""
    with socket.socket(socket.AF_INET6) as sock:
        expected = not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    assert conflicts._is_dual_stack_default() == expected

    def fail(*args: object) -> socket.socket:
        raise OSError

    monkeypatch.setattr(socket, "socket", fail)
    assert not conflicts._is_dual_stack_default()


@pytest.mark.parametrize(
    "args",
    [
        ["--tcp", "7", "--udp", "7", "--behave", "127.0.0.1:8=echo"],
        ["--tcp", "127.0.0.1:7", "--tcp", "[::1]:7", "--http", "127.0.0.2:7", PUBLIC],
        ["--tcp", "7", "--behave", "127.0.0.1:7=drop"],
        ["--tcp", "0", "--http", "0", PUBLIC, "--behave", "0=echo", "--behave", "0=echo"],
        ["--tcp", "7", "--tcp", "127.0.0.1:7", "--sockopt", "SO_REUSEPORT=on"],
        ["--udp", "7", "--udp", "127.0.0.1:7", "--sockopt", "SO_REUSEADDR=on"],
    ],
)
def test_no_conflict(args: list[str]) -> None:
    """Other ports, transports and addresses do not conflict. Some socket options let sockets share a port."""
    parsed(*args)


def test_shared_port_of_http() -> None:
    """SO_REUSEPORT of --sockopt does not act on HTTP. SO_REUSEADDR does not share a listening TCP port."""
    assert faults("--tcp", "7", "--http", "7", PUBLIC, "--sockopt", "SO_REUSEPORT=on")
    assert faults("--tcp", "7", "--tcp", "127.0.0.1:7", "--sockopt", "SO_REUSEADDR=on")


def test_paths(tmp_path: Path) -> None:
    """A path of two options is a fault, also by another name: the daemon would replace one file by the other."""
    (tmp_path / "link").symlink_to(tmp_path)
    path, again = str(tmp_path / "x"), str(tmp_path / "link" / "x")
    for first, second in (
        *(("record", "port-file"), ("control", "http"), ("control", "port-file"), ("port-file", "http")),
        ("control", "record"),
    ):
        reason = f"is also given to --{first}; expected a path of its own"
        for text in (path, again):
            assert faults(f"--{second}", text, f"--{first}", path) == [f"--{second} {text}: {reason}"]
    file = tmp_path / "echotime.conf"
    file.write_text(f"[echotime]\nport-file = {file}\nrecord = {path}\nhttp = {path}\n", encoding="utf-8")
    assert faults("--config", str(file)) == [
        f"{file}, line 2: port-file = {file}: is also given to --config; expected a path of its own",
        f"{file}, line 4: http = {path}: is also given to --record; expected a path of its own",
    ]
    assert parsed("--record", "/dev/stdout").record == "/dev/stdout"
