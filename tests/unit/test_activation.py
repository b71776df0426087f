"""daemon/activation.py: what the variables of a service manager mean."""

from __future__ import annotations

import os

import pytest
from twisted.python.usage import UsageError

from echotime.daemon import coercions, options
from echotime.daemon.activation import Activation, Descriptor, NotPassed, original_environment, passed
from echotime.daemon.options import Options
from echotime.daemon.settings import Address, Passed, Settings

US = str(os.getpid())


def settings(*args: str) -> Settings:
    """What a command line means."""
    parsed = Options()
    parsed.parseOptions(args)
    return parsed.settings


def test_passed() -> None:
    """As many as there are, with their names."""
    assert passed({}) == []
    assert passed({"LISTEN_PID": US, "LISTEN_FDS": "0"}) == []
    assert passed({"LISTEN_PID": US, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}) == [
        Descriptor(3, "a"),
        Descriptor(4, "b"),
    ]


def test_without_names() -> None:
    """Names may be missing, or be of another number: then none is known."""
    for names in ({}, {"LISTEN_FDNAMES": ""}, {"LISTEN_FDNAMES": "a:b:c"}):
        assert passed({"LISTEN_PID": US, "LISTEN_FDS": "1", **names}) == [Descriptor(3, "unknown")]


def test_others() -> None:
    """Those of another process, and what is no number, are nothing."""
    assert passed({"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == []
    assert passed({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "a"}) == []
    assert passed({"LISTEN_PID": US, "LISTEN_FDS": "many"}) == []


def test_what_twisted_leaves() -> None:
    """The names say how many there are, and SYSTEMD_EXEC_PID whose they are."""
    left = {"LISTEN_FDNAMES": "a:b"}
    assert len(passed({**left, "SYSTEMD_EXEC_PID": US})) == 2
    assert passed({**left, "SYSTEMD_EXEC_PID": "1"}) == []
    assert passed({"SYSTEMD_EXEC_PID": US}) == []


def test_original_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process was started with, whatever it has done with its variables since."""
    monkeypatch.delenv("PATH")
    monkeypatch.setenv("ECHOTIME_NEW", "1")
    found = original_environment()
    assert "PATH" in found
    assert "ECHOTIME_NEW" not in found


def test_not_a_socket() -> None:
    """A descriptor that is closed, or no socket, is of no kind."""
    activation = Activation([Descriptor(10_000, "a"), Descriptor(os.open(os.devnull, os.O_RDONLY), "b")])
    with pytest.raises(NotPassed, match="no TCP socket is left of what was passed: descriptor 10000 \\(a\\), "):
        activation.take("tcp", Passed())
    assert [each.name for each in activation.take("tcp", Passed("b"))] == ["b"], "whoever adopts it says what it is"
    activation.close()


def test_where() -> None:
    """``systemd``, a name, or an address."""
    assert coercions.where("systemd") == Passed()
    assert coercions.where("systemd:echotime.socket") == Passed("echotime.socket")
    assert coercions.where("127.0.0.1:7") == Address("127.0.0.1", 7)
    for wrong in ("systemd:", "systemd:a:b", "systemd:\x1b", "systemd:é", "systemd:" + "x" * 256, "systemdx", "system"):
        with pytest.raises(ValueError, match="expected"):
            coercions.where(wrong)


def test_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was passed is served where nothing else was asked for."""
    monkeypatch.setattr(options, "original_environment", lambda: {"LISTEN_PID": US, "LISTEN_FDS": "1"})
    assert settings().tcp == settings().udp == (Passed(required=False),)
    assert settings("--tcp", "7").udp == ()
    found = settings("--tcp", "systemd:a", "--tcp", "systemd", "--sockopt", "IPV6_UNICAST_HOPS=9")
    assert found.tcp == (Passed("a"), Passed())
    with pytest.raises(UsageError, match="--tcp systemd:a: given twice"):
        settings("--tcp", "systemd:a", "--tcp", "systemd:a")
