"""Test systemd/activation.py: the environment variables of a service manager."""

from __future__ import annotations

import os
import socket

import pytest
from twisted.python.usage import UsageError

from echotime.config import options, parsers
from echotime.systemd import activation
from echotime.systemd.activation import (
    InheritedFD,
    InheritedSockets,
    SocketNotPassed,
    SystemdSocket,
    are_sockets_passed,
    listen_fds,
)
from echotime.systemd.environment import InvalidEnvironment, initial_environ, other_process
from echotime.wire.hostport import HostPort
from tests.unit.test_daemon import settings

US = str(os.getpid())


@pytest.fixture
def inherited(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Provide the descriptors that were inherited, 3 and 4 at first."""
    found = {3, 4}
    monkeypatch.setattr(activation, "_is_inheritable", found.__contains__)
    return found


def test_passed(inherited: set[int]) -> None:
    """As many descriptors are found as were passed, with their names."""
    assert listen_fds({}) == []
    assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}) == [
        InheritedFD(3, "a"),
        InheritedFD(4, "b"),
    ]


def test_without_names(inherited: set[int]) -> None:
    """Without names, or with a wrong number of names, every name is unknown."""
    for names in ({}, {"LISTEN_FDNAMES": ""}, {"LISTEN_FDNAMES": "a:b:c"}):
        assert listen_fds({"LISTEN_PID": US, "LISTEN_FDS": "1", **names}) == [InheritedFD(3, "unknown")]


@pytest.mark.parametrize("fds", ["1", "many", ""])
def test_another_process(fds: str) -> None:
    """Variables for another process are ignored, and the reason is part of the error if sockets are requested."""
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": fds}
    assert listen_fds(environment) == []
    assert not are_sockets_passed(environment)
    reason = f"no socket was passed; LISTEN_PID=1 is another process than this one \\({US}\\); a script must "
    with pytest.raises(SocketNotPassed, match=reason):
        InheritedSockets([], other_process(environment, "LISTEN_PID")).claim("tcp", SystemdSocket())


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"LISTEN_FDS": "abc"}, "LISTEN_FDS=abc: expected a number from 1 to 2147483644"),
        ({"LISTEN_FDS": "0"}, "LISTEN_FDS=0: expected"),
        ({"LISTEN_FDS": "-1"}, "LISTEN_FDS=-1: expected"),
        ({"LISTEN_FDS": "1 "}, "LISTEN_FDS=1 : expected"),
        ({"LISTEN_FDS": "²"}, "LISTEN_FDS=²: expected"),
        ({"LISTEN_FDS": "2147483645"}, "LISTEN_FDS=2147483645: expected"),
        ({"LISTEN_FDS": "9" * 5000}, f"LISTEN_FDS={'9' * 40}: expected"),
        ({}, "LISTEN_FDS is not set: expected"),
        ({"LISTEN_FDNAMES": "a"}, "LISTEN_FDS is not set: expected"),
        ({"LISTEN_FDS": "3"}, "LISTEN_FDS=3: descriptor 5 was not passed"),
        ({"LISTEN_FDS": "2147483644"}, "LISTEN_FDS=2147483644: descriptor 5 was not passed"),
        ({"LISTEN_PID": "", "LISTEN_FDS": "1"}, "LISTEN_PID is not set: expected a number from 1 to 2147483647"),
        ({"LISTEN_PID": "x", "LISTEN_FDS": "1"}, "LISTEN_PID=x: expected"),
        ({"LISTEN_PID": "0", "LISTEN_FDS": "1"}, "LISTEN_PID=0: expected"),
    ],
)
def test_faulty(environment: dict[str, str], reason: str, inherited: set[int]) -> None:
    """Faulty variables are an error, and no address is served by default instead."""
    environment = {"LISTEN_PID": US, **environment}
    with pytest.raises(InvalidEnvironment, match=f"^environment: {reason}"):
        listen_fds(environment)
    assert are_sockets_passed(environment)


def test_own_descriptor() -> None:
    """A descriptor that this process opened, or a closed one, was not passed."""
    first, second = os.pipe()
    os.set_inheritable(second, True)
    assert (activation._is_inheritable(first), activation._is_inheritable(second)) == (False, True)
    os.close(first)
    os.close(second)
    assert not activation._is_inheritable(second)


def test_what_twisted_leaves(inherited: set[int]) -> None:
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
    descriptors = [InheritedFD(10_000, "a"), InheritedFD(os.open(os.devnull, os.O_RDONLY), "b")]
    sockets = InheritedSockets(descriptors)
    with pytest.raises(SocketNotPassed, match="no unclaimed TCP socket; passed: descriptor 10000 \\(a\\), "):
        sockets.claim("tcp", SystemdSocket())
    assert [each.name for each in sockets.claim("tcp", SystemdSocket("b"))] == ["b"], (
        "the port that adopts it reports what it is"
    )
    sockets.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket takes a privilege")
def test_unserved_type() -> None:
    """A socket of another type than TCP and UDP is not served by default, so a daemon without a port does not start."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        sockets = InheritedSockets([InheritedFD(raw.fileno(), "a")])
        for transport in ("tcp", "udp"):
            with pytest.raises(SocketNotPassed, match="no unclaimed"):
                sockets.claim(transport, SystemdSocket(required=False))


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
