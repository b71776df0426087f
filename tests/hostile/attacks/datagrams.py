"""Attack with datagrams: reflection, broadcast, forged victims, ICMP errors, addresses, other users."""

from __future__ import annotations

import contextlib
import itertools
import re
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

from tests.hostile.capture import captured
from tests.hostile.daemons import Daemons
from tests.hostile.figures import Figure, exactly, yes
from tests.hostile.forging import Address, forge, raw_socket
from tests.hostile.network import Host, hosts
from tests.support.plain_clients import ask_time
from tests.support.twistd_process import LIMIT

_IP_RECVERR_ROUNDS = 10


def amplification(daemons: Daemons, questions: int = 100) -> Iterator[Figure]:
    """Reflection: the bytes sent to a forged source, beside the bytes that the attacker spends."""
    with daemons.start() as daemon, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(daemon.address("UDP"))

        def ask() -> None:
            for _ in range(questions):
                sock.send(b"")

        ports = sock.getsockname()[1], daemon.address("UDP")[1]
        seen = captured(ports, ask)
        requested = [each.size for each in seen if each.source[1] == ports[0]]
        answered = [each.size for each in seen if each.source[1] == ports[1]]
    yield Figure("bytes of IP out for each in, empty questions", sum(answered) / sum(requested), most=1.15, least=1.0)
    yield exactly("packets out for each in", len(answered) / len(requested), 1)


def broadcast(daemons: Daemons) -> Iterator[Figure]:
    """Broadcast: one request to all hosts of a network, and all of them answer the forged source (fraggle)."""
    with (
        hosts(2) as (host, attacker),
        daemons.start(prefix=host.prefix, host="0.0.0.0") as daemon,
        attacker.socket() as sock,
    ):
        port = daemon.address("UDP")[1]
        yield exactly("answers", answers_to_many(sock, host, port), 0)
        sock.sendto(b"", (host.address, port))
        yield yes(
            "the same client is answered when it asks the host alone", bool(select.select([sock], [], [], LIMIT)[0])
        )


def answers_to_many(sock: socket.socket, host: Host, port: int) -> int:
    """Count the answers to a request to the broadcast address and to one to the all-hosts multicast group."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sock.getsockname()[0]))
    number = 0
    for many in (host.address.rpartition(".")[0] + ".255", "224.0.0.1"):
        sock.sendto(b"", (many, port))
        while select.select([sock], [], [], 0.5)[0]:
            sock.recv(100)
            number += 1
    return number


def victim(daemons: Daemons, questions: int = 50, rate: int = 1000) -> Iterator[Figure]:
    """Silenced victim: forged datagrams use up the rate limit of a victim, which gets no answers any more."""
    limited = ("--udp-rate", "100") if daemons.knows("--udp-rate") else ()
    with hosts(1) as (host,), daemons.start(*limited, prefix=host.prefix, host="0.0.0.0") as daemon:
        service = host.address, daemon.address("UDP")[1]
        with host.socket() as sock:
            # a connected socket receives from this address only, so no answers to forged datagrams
            sock.connect(service)
            source = sock.getsockname()
            # another port of the victim, and the same port with payloads that look like answers
            forged = [((source[0], source[1] ^ 1), b""), (source, struct.pack("!I", int(time.time())))]
            with host.run(raw_socket) as raw, _forging(raw, forged, ("127.0.0.1", service[1]), rate):
                answered = sum(_asks(sock) for _ in range(questions))
    what = f"victim answered while {rate}/s carry its address" + (", --udp-rate 100" if limited else "")
    yield Figure(what, 100 * answered / questions, "%", least=25)


def _asks(sock: socket.socket) -> bool:
    sock.send(b"?")
    if not select.select([sock], [], [], 0.1)[0]:
        return False
    return len(sock.recv(100)) == 4


@contextlib.contextmanager
def _forging(raw: socket.socket, forged: list[tuple[Address, bytes]], to: Address, rate: int) -> Iterator[None]:
    over = threading.Event()

    def send() -> None:
        for _ in range(60 * rate):
            for source, payload in forged:
                forge(source, to, payload, by=raw)
            if over.wait(len(forged) / rate):
                return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def icmp_errors(daemons: Daemons) -> Iterator[Figure]:
    """ICMP errors: with IP_RECVERR one forged source that does not exist closes a port of Twisted's."""
    with (
        hosts(2) as (host, attacker),
        daemons.start("--sockopt", "IP_RECVERR=on", prefix=host.prefix, host=host.address) as daemon,
        attacker.run(raw_socket) as raw,
    ):
        # the kernel reports an unreachable host after three seconds; here after 20 ms
        host.set("net/ipv4/neigh/eth0/retrans_time_ms", "10")
        host.set("net/ipv4/neigh/eth0/mcast_solicit", "2")
        address = daemon.address("UDP")
        answered = 0
        for number in range(_IP_RECVERR_ROUNDS):
            missing = f"{host.address.rpartition('.')[0]}.{200 + number}"
            forge((missing, 4000), address, by=raw)
            threading.Event().wait(0.05)
            answered += attacker.run(lambda: len(ask_time(address)) == 4)
        ended = daemon.stop()
    found = re.search(r"ICMP error: (\d+)", ended.out)
    yield Figure(f"errors that came of {_IP_RECVERR_ROUNDS}", int(found[1]) if found else 0, least=1)
    yield exactly("answered after each", answered, _IP_RECVERR_ROUNDS)


def secondary_address(daemons: Daemons) -> Iterator[Figure]:
    """Several addresses: a connected client does not receive an answer from another address than it asked."""
    with hosts(2) as (host, client), daemons.start(prefix=host.prefix, host="0.0.0.0") as daemon:
        second = f"{host.address.rpartition('.')[0]}.101"
        host.change("address", "add", f"{second}/24", "dev", "eth0")
        port = daemon.address("UDP")[1]
        try:
            answered = client.run(lambda: len(ask_time((second, port))) == 4)
        except TimeoutError:
            answered = False
        yield yes("answered from a secondary address", answered)


_STEAL = """
import errno, os, socket, sys
try:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
except PermissionError as error:
    sys.exit(f"changing the user requires root: {error}")
host, port, option = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, option, 1)
if ":" in host:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
try:
    sock.bind((host, port))
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
else:
    print(sock.getsockname()[1], flush=True)
    sys.stdin.read()
"""
_STEALING = {
    "127.0.0.1": ("127.0.0.1", "0.0.0.0", "::"),
    "0.0.0.0": ("127.0.0.1", "0.0.0.0", "::"),
    "::": ("127.0.0.1", "::1", "0.0.0.0", "::"),
}
"""Addresses of the daemon, and where a socket of another user would receive the daemon's datagrams."""
_SHARING = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)


def hijack(daemons: Daemons) -> Iterator[Figure]:
    """Hijacked port: another user's process binds it with SO_REUSEADDR or SO_REUSEPORT, and receives all datagrams."""
    later = first = 0
    for ours, others in _STEALING.items():
        with daemons.start(host=f"[{ours}]" if ":" in ours else ours) as daemon:
            port = daemon.address("UDP")[1]
            for other, option in itertools.product(others, _SHARING):
                with _thief(other, port, option) as outcome:
                    later += outcome == "EADDRINUSE"
    yield exactly("refused with EADDRINUSE when the other binds later, of 20 ways", later, 20)
    for ours, others in _STEALING.items():
        for other in others[:2]:
            with _thief(other, 0, socket.SO_REUSEADDR) as outcome:
                first += _is_refused(daemons, f"[{ours}]:{outcome}" if ":" in ours else f"{ours}:{outcome}")
    yield exactly("daemon ends with EADDRINUSE when the other binds first, of 6 ways", first, 6)


@contextlib.contextmanager
def _thief(host: str, port: int, option: int) -> Iterator[str]:
    """Bind a UDP socket as another user, until the end; yield its port, or the name of the error."""
    command = [sys.executable, "-c", _STEAL, host, str(port), str(option)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True) as thief:
        assert thief.stdin is not None
        assert thief.stdout is not None
        assert thief.stderr is not None
        try:
            outcome = thief.stdout.readline().strip()
            if not outcome:
                raise PermissionError(thief.stderr.read().strip())
            yield outcome
        finally:
            thief.stdin.close()
            thief.wait(LIMIT)


def _is_refused(daemons: Daemons, address: str) -> bool:
    """Return True if a daemon on a UDP address ends with status 1 and the one line for EADDRINUSE."""
    ended = daemons.refused("--udp", address)
    line = f"echotime: cannot listen on UDP {address}: Address already in use (EADDRINUSE)"
    return ended.status == 1 and ended.err.count("\n") == 1 and ended.err.startswith(line)
