"""Test systemd/activation.py: the environment variables of a service manager."""

from __future__ import annotations

import os

import pytest
from twisted.python.usage import UsageError

from echotime.config import options, parsers
from echotime.systemd.activation import (
    InheritedFD,
    InheritedSockets,
    SocketNotPassed,
    SystemdSocket,
    initial_environ,
    listen_fds,
)
from echotime.wire.hostport import HostPort
from tests.unit.test_daemon import settings

US = str(os.getpid())


def test_passed() -> None:
    """As many descriptors are found as were passed, with their names."""
    assert listen_fds({}) == []
    assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "0"}) == []
    assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}) == [
        InheritedFD(3, "a"),
        InheritedFD(4, "b"),
    ]


def test_without_names() -> None:
    """Without names, or with a wrong number of names, every name is unknown."""
    for names in ({}, {"LISTEN_FDNAMES": ""}, {"LISTEN_FDNAMES": "a:b:c"}):
        assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "1", **names}) == [InheritedFD(3, "unknown")]


def test_others() -> None:
    """Variables for another process, or without a valid number, are ignored."""
    assert listen_fds({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == []
    assert listen_fds({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "a"}) == []
    assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "many"}) == []


def test_what_twisted_leaves() -> None:
    """After Twisted has removed variables, the names give the number and SYSTEMD_EXEC_PID the process."""
    left = {"LISTEN_FDNAMES": "a:b"}
    assert len(listen_fds({**left, "SYSTEMD_EXEC_PID": US})) == 2
    assert listen_fds({**left, "SYSTEMD_EXEC_PID": "1"}) == []
    assert listen_fds({"SYSTEMD_EXEC_PID": US}) == []


def test_original_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The initial environment is found also after the process has changed its own."""
    monkeypatch.delenv("PATH")
    monkeypatch.setenv("ECHOTIME_NEW", "1")
    found = initial_environ()
    assert "PATH" in found
    assert "ECHOTIME_NEW" not in found


def test_not_a_socket() -> None:
    """A closed descriptor, or one that is no socket, has no kind, but can be claimed by name."""
    activation = InheritedSockets([InheritedFD(10_000, "a"), InheritedFD(os.open(os.devnull, os.O_RDONLY), "b")])
    with pytest.raises(SocketNotPassed, match="no unclaimed TCP socket; passed: descriptor 10000 \\(a\\), "):
        activation.claim("tcp", SystemdSocket())
    assert [each.name for each in activation.claim("tcp", SystemdSocket("b"))] == ["b"], (
        "the port that adopts it reports what it is"
    )
    activation.close()


def test_where() -> None:
    """A listening address is ``systemd``, ``systemd:NAME``, or an address with a port."""
    assert parsers.listen_address("systemd") == SystemdSocket()
    assert parsers.listen_address("systemd:echotime.socket") == SystemdSocket("echotime.socket")
    assert parsers.listen_address("127.0.0.1:7") == HostPort("127.0.0.1", 7)
    for wrong in ("systemd:", "systemd:a:b", "systemd:\x1b", "systemd:é", "systemd:" + "x" * 256, "systemdx", "system"):
        with pytest.raises(ValueError, match="expected"):
            parsers.listen_address(wrong)


def test_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed sockets are served by default."""
    monkeypatch.setattr(options, "initial_environ", lambda: {"LISTEN_PID": US, "LISTEN_FDS": "1"})
    assert settings().tcp == settings().udp == (SystemdSocket(required=False),)
    assert settings("--tcp", "7").udp == ()
    found = settings("--tcp", "systemd:a", "--tcp", "systemd", "--sockopt", "IPV6_UNICAST_HOPS=9")
    assert found.tcp == (SystemdSocket("a"), SystemdSocket())
    with pytest.raises(UsageError, match="--tcp systemd:a: given twice"):
        settings("--tcp", "systemd:a", "--tcp", "systemd:a")
