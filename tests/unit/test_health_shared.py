"""Test net/sharing.py, and health/check.py where several processes serve the same sockets."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from echotime.counters import ServiceCounters
from echotime.health import probes
from echotime.health.check import HealthStatus
from echotime.net import bpf
from echotime.net.sharing import other_servers
from echotime.net.tcp import EchoPort
from echotime.net.udp import TimePort
from echotime.services.echo_factory import EchoFactory
from echotime.services.udp_time import TimeProtocol
from tests.support.checked_listeners import Daemon

SAME_SOCKET = "other processes serve the same socket"
SERVES = "from echotime.net.sharing import mark_served; [mark_served(each) for each in sockets]"
"""What a sibling does first; one that serves then accepts and reads whatever arrives."""
_SIBLING = """
import select, socket, sys
sockets = [socket.socket(fileno=int(each)) for each in sys.argv[2:]]
exec(sys.argv[1])
print(flush=True)
while True:
    ready = select.select([0, *sockets] if "mark_served" in sys.argv[1] else [0], [], [])[0]
    if 0 in ready:
        break
    for each in ready:
        each.accept() if each.type == socket.SOCK_STREAM else each.recv(9)
"""


@contextmanager
def sibling(*sockets: socket.socket, does: str = SERVES) -> Iterator[None]:
    """Run another process that has inherited sockets, until the end of the context."""
    descriptors = [each.fileno() for each in sockets]
    command = [sys.executable, "-c", _SIBLING, does, *map(str, descriptors)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=descriptors) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"\n"
        yield
        child.communicate()


@contextmanager
def inherited(daemon: Daemon) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Let a daemon serve sockets that the test holds as well, as a service manager does."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        daemon.factory = EchoFactory(daemon.traffic)
        protocol = TimeProtocol(time.time, daemon.traffic.counters)
        daemon.begin(
            EchoPort.adopt(tcp.fileno(), daemon.factory, reactor=daemon.reactor),
            TimePort.adopt(udp.fileno(), protocol, reactor=daemon.reactor),
        )
        yield tcp, udp


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_other_servers(kind: socket.SocketKind) -> None:
    """A process that serves the same socket is seen while it runs, from before; one that only holds it is not."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()  # select(2) reports a socket that does not listen as readable, and accept(2) fails
        assert other_servers(sock) == ""
        with sibling(sock, does=""):
            assert other_servers(sock) == ""
        with sibling(sock):
            assert other_servers(sock) == SAME_SOCKET
            sock.dup().close()
            assert other_servers(sock) == SAME_SOCKET
        assert other_servers(sock) == ""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        assert other_servers(sock) == "other sockets may share the port (SO_REUSEPORT)"


def test_seen_by_others(daemon: Daemon) -> None:
    """A daemon is seen by others as soon as it listens, after the inherited descriptors were closed."""
    with inherited(daemon) as sockets:
        sees = "from echotime.net.sharing import other_servers; assert all(map(other_servers, sockets))"
        with sibling(*sockets, does=sees):
            pass


def test_shared(daemon: Daemon) -> None:
    """A socket that another process serves, too, is not probed over the network, where that one might answer."""
    with inherited(daemon) as sockets:
        assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
        with sibling(*sockets):
            for _ in range(3):
                tcp, udp = daemon.findings()
                assert tcp.status is HealthStatus.ANSWERED, "by the reactor and the protocol, over a socketpair"
                assert (udp.status, udp.reason) == (HealthStatus.NOT_PROBED, SAME_SOCKET)
        assert daemon.verdicts() == [HealthStatus.ANSWERED] * 2
        assert daemon.traffic.counters == ServiceCounters(health_checks=7), "four of the seven probes over the network"
        assert dict(daemon.udp.errors) == {}


@pytest.mark.parametrize("which", [0, 1], ids=["tcp", "udp"])
def test_hung_beside_another(daemon: Daemon, which: int) -> None:
    """A listener that is not read is hung, though another process leaves nothing pending."""
    with inherited(daemon) as sockets, sibling(*sockets):
        port = (daemon.tcp, daemon.udp)[which]
        port.stopReading()
        assert daemon.verdicts()[which] is HealthStatus.HUNG
        port.startReading()
        assert daemon.verdicts() == [HealthStatus.ANSWERED, HealthStatus.NOT_PROBED]


def test_served_by_another_only(daemon: Daemon) -> None:
    """A listener is hung if connections are always pending and only another process accepts some of them."""
    with inherited(daemon) as (tcp, _udp):
        clients = [socket.create_connection(tcp.getsockname()) for _ in range(30)]
        taken: list[socket.socket] = []
        daemon.tcp.doRead = lambda: None
        for number in range(20):
            daemon.reactor.callLater(0.1 * number, lambda: taken.append(tcp.accept()[0]))
        found = daemon.findings()[0]
        assert found.status is HealthStatus.HUNG
        assert len(taken) > 5
        for each in (*clients, *taken):
            each.close()
        del daemon.tcp.doRead
        daemon.settle()


def test_mostly_served_by_another(daemon: Daemon) -> None:
    """A listener that accepts one connection while another process accepts the others is well."""
    with inherited(daemon) as (tcp, _udp):
        clients = [socket.create_connection(tcp.getsockname()) for _ in range(30)]
        do_read, daemon.tcp.doRead, daemon.tcp.numberAccepts = daemon.tcp.doRead, lambda: None, 1
        daemon.reactor.callLater(1.5, do_read)
        assert daemon.verdicts()[0] is not HealthStatus.HUNG
        for each in clients:
            each.close()
        del daemon.tcp.doRead
        daemon.settle()


def test_another_starts_meanwhile(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe that a process received which has just started is not reported as unanswered."""
    with inherited(daemon):
        bpf.attach(daemon.udp.socket, 65535)
        reasons = iter(["", SAME_SOCKET])
        monkeypatch.setattr(probes, "other_servers", lambda sock: next(reasons) if sock is daemon.udp.socket else "")
        assert daemon.verdicts()[1] is HealthStatus.NOT_PROBED
