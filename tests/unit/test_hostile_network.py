"""Test tests/hostile/network.py: hosts reach each other and no other network, and are removed afterwards."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.hostile import network
from tests.hostile.network import CannotMake, Host, hosts
from tests.support.twistd_process import LIMIT


@contextlib.contextmanager
def made(number: int) -> Iterator[list[Host]]:
    """Make so many hosts, or skip the test with the reason."""
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(hosts(number))
        except CannotMake as reason:
            pytest.skip(str(reason))
        yield found


def names() -> list[str]:
    """Return the names of this process's network namespaces."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if line.startswith(f"echotime-{os.getpid()}-")]


def test_they_hear_each_other() -> None:
    """Hosts reach each other from their own addresses, count what they receive, and have no other route."""
    with made(3) as (one, two, three), one.socket() as client, three.socket() as server:
        before = three.received()
        client.sendto(b"?", server.getsockname())
        server.settimeout(LIMIT)
        assert server.recvfrom(10) == (b"?", client.getsockname())
        assert client.getsockname()[0] == one.address
        assert (two.received(), three.received() - before) == (0, 1)
        with pytest.raises(OSError, match="unreachable"):
            client.sendto(b"?", ("192.0.2.1", 9))


def test_processes() -> None:
    """Commands and functions run on a host."""
    with made(1) as (host,):
        interfaces = "import socket; print([name for _, name in socket.if_nameindex()])"
        command = [*host.prefix, sys.executable, "-c", interfaces]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert output == "['lo', 'eth0']\n"
        assert [name for _, name in host.run(socket.if_nameindex)] == ["lo", "eth0"]


def test_gone_whatever_happens() -> None:
    """Namespaces are removed also after a failure."""
    there = []
    with contextlib.suppress(ZeroDivisionError), made(2):
        there = names()
        raise ZeroDivisionError
    assert len(there) == 3
    assert names() == []


def test_left_by_the_dead() -> None:
    """Namespaces that a killed process left are removed by the next process."""
    with made(1), subprocess.Popen([sys.executable, "-c", ""]) as process:
        left = f"echotime-{process.pid}-1"
        subprocess.run(["ip", "netns", "add", left], check=True)
        process.wait()
        network._sweep()
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        assert left not in listed
        assert len(names()) == 2


def test_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for a missing network is reported."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotMake, match="root"), hosts(1):
        pass


def test_faults_of_ip() -> None:
    """Errors of ip(8) and of the kernel are reported."""
    with made(1) as (host,):
        with pytest.raises(CannotMake, match="Cannot find device"):
            host.change("link", "set", "eth7", "up")
        with pytest.raises(CannotMake, match="No such file"):
            host.set("net/ipv4/nothing", "1")
