"""systemd/activation.py: what the variables of a service manager mean."""

from __future__ import annotations

import os

import pytest
from twisted.python.usage import UsageError

from echotime.config import options, parsers
from echotime.config.options import DaemonOptions
from echotime.config.settings import Settings
from echotime.systemd.activation import (
    InheritedFD,
    InheritedSockets,
    SocketNotPassed,
    SystemdSocket,
    initial_environ,
    listen_fds,
)
from echotime.wire.hostport import HostPort

US = str(os.getpid())


def settings(*args: str) -> Settings:
    """What a command line means."""
    parsed = DaemonOptions()
    parsed.parseOptions(args)
    return parsed.settings


def test_passed() -> None:
    """As many as there are, with their names."""
    assert listen_fds({}) == []
    assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "0"}) == []
    assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}) == [
        InheritedFD(3, "a"),
        InheritedFD(4, "b"),
    ]


def test_without_names() -> None:
    """Names may be missing, or be of another number: then none is known."""
    for names in ({}, {"LISTEN_FDNAMES": ""}, {"LISTEN_FDNAMES": "a:b:c"}):
        assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "1", **names}) == [InheritedFD(3, "unknown")]


def test_others() -> None:
    """Those of another process, and what is no number, are nothing."""
    assert listen_fds({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == []
    assert listen_fds({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "a"}) == []
    assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "many"}) == []


def test_what_twisted_leaves() -> None:
    """The names say how many there are, and SYSTEMD_EXEC_PID whose they are."""
    left = {"LISTEN_FDNAMES": "a:b"}
    assert len(listen_fds({**left, "SYSTEMD_EXEC_PID": US})) == 2
    assert listen_fds({**left, "SYSTEMD_EXEC_PID": "1"}) == []
    assert listen_fds({"SYSTEMD_EXEC_PID": US}) == []


def test_original_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process was started with, whatever it has done with its variables since."""
    monkeypatch.delenv("PATH")
    monkeypatch.setenv("ECHOTIME_NEW", "1")
    found = initial_environ()
    assert "PATH" in found
    assert "ECHOTIME_NEW" not in found


def test_not_a_socket() -> None:
    """A descriptor that is closed, or no socket, is of no kind."""
    activation = InheritedSockets([InheritedFD(10_000, "a"), InheritedFD(os.open(os.devnull, os.O_RDONLY), "b")])
    with pytest.raises(SocketNotPassed, match="no TCP socket is left of what was passed: descriptor 10000 \\(a\\), "):
        activation.claim("tcp", SystemdSocket())
    assert [each.name for each in activation.claim("tcp", SystemdSocket("b"))] == ["b"], (
        "whoever adopts it says what it is"
    )
    activation.close()


def test_where() -> None:
    """``systemd``, a name, or an address."""
    assert parsers.listen_address("systemd") == SystemdSocket()
    assert parsers.listen_address("systemd:echotime.socket") == SystemdSocket("echotime.socket")
    assert parsers.listen_address("127.0.0.1:7") == HostPort("127.0.0.1", 7)
    for wrong in ("systemd:", "systemd:a:b", "systemd:\x1b", "systemd:é", "systemd:" + "x" * 256, "systemdx", "system"):
        with pytest.raises(ValueError, match="expected"):
            parsers.listen_address(wrong)


def test_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was passed is served where nothing else was asked for."""
    monkeypatch.setattr(options, "initial_environ", lambda: {"LISTEN_PID": US, "LISTEN_FDS": "1"})
    assert settings().tcp == settings().udp == (SystemdSocket(required=False),)
    assert settings("--tcp", "7").udp == ()
    found = settings("--tcp", "systemd:a", "--tcp", "systemd", "--sockopt", "IPV6_UNICAST_HOPS=9")
    assert found.tcp == (SystemdSocket("a"), SystemdSocket())
    with pytest.raises(UsageError, match="--tcp systemd:a: given twice"):
        settings("--tcp", "systemd:a", "--tcp", "systemd:a")
