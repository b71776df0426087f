"""Attacks with datagrams: reflection, broadcast, forged victims, errors that come back, addresses, other users."""

from __future__ import annotations

import contextlib
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
from tests.integration.peers import ask_time
from tests.integration.twistd import LIMIT

_IP_RECVERR_ROUNDS = 10


def amplification(daemons: Daemons, questions: int = 100) -> Iterator[Figure]:
    """Reflection: what a forged source costs its victim, beside what it costs the attacker."""
    with daemons.start() as daemon, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(daemon.address("UDP"))

        def ask() -> None:
            for _ in range(questions):
                sock.send(b"")

        ports = sock.getsockname()[1], daemon.address("UDP")[1]
        seen = captured(ports, ask)
        asked = [each.size for each in seen if each.source[1] == ports[0]]
        answered = [each.size for each in seen if each.source[1] == ports[1]]
    yield Figure("bytes of IP out for each in, empty questions", sum(answered) / sum(asked), most=1.15, least=1.0)
    yield exactly("packets out for each in", len(answered) / len(asked), 1)


def broadcast(daemons: Daemons) -> Iterator[Figure]:
    """Broadcast: one question to all hosts of a network, and all of them answer the forged source (fraggle)."""
    with (
        hosts(2) as (host, attacker),
        daemons.start(prefix=host.prefix, host="0.0.0.0") as daemon,
        attacker.socket() as sock,
    ):
        port = daemon.address("UDP")[1]
        yield exactly("answers", answers_to_many(sock, host, port), 0)
        sock.sendto(b"", (host.address, port))
        yield yes("the same asker alone is answered", bool(select.select([sock], [], [], LIMIT)[0]))


def answers_to_many(sock: socket.socket, host: Host, port: int) -> int:
    """How many come back for a question to the network's broadcast address, and one to all hosts' multicast."""
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
    """Silenced victim: forged datagrams use up what a victim may ask, and it is not answered any more."""
    limited = ("--udp-rate", "100") if daemons.knows("--udp-rate") else ()
    with hosts(1) as (host,), daemons.start(*limited, prefix=host.prefix, host="0.0.0.0") as daemon:
        asked = host.address, daemon.address("UDP")[1]
        with host.socket() as sock:
            # connected: it hears the address that it asked and no other, and so no answer to what is forged
            sock.connect(asked)
            source = sock.getsockname()
            # another port of the victim, and its very port with what looks like answers
            forged = [((source[0], source[1] ^ 1), b""), (source, struct.pack("!I", int(time.time())))]
            with host.run(raw_socket) as raw, _forging(raw, forged, ("127.0.0.1", asked[1]), rate):
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
        # nobody there says so for three seconds; here it is 20 ms
        host.set("net/ipv4/neigh/eth0/retrans_time_ms", "10")
        host.set("net/ipv4/neigh/eth0/mcast_solicit", "2")
        address = daemon.address("UDP")
        answered = 0
        for number in range(_IP_RECVERR_ROUNDS):
            nobody = f"{host.address.rpartition('.')[0]}.{200 + number}"
            forge((nobody, 4000), address, by=raw)
            threading.Event().wait(0.05)
            answered += attacker.run(lambda: len(ask_time(address)) == 4)
        ended = daemon.stop()
    found = re.search(r"ICMP error: (\d+)", ended.out)
    yield Figure(f"errors that came of {_IP_RECVERR_ROUNDS}", int(found[1]) if found else 0, least=1)
    yield exactly("answered after each", answered, _IP_RECVERR_ROUNDS)


def secondary_address(daemons: Daemons) -> Iterator[Figure]:
    """Several addresses: an answer from another address than was asked is not heard by a connected client."""
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
    sys.exit(f"to become another user takes root: {error}")
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, int(sys.argv[2]), 1)
try:
    sock.bind(("127.0.0.1", int(sys.argv[1])))
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def hijack(daemons: Daemons) -> Iterator[Figure]:
    """Hijacked port: another user's process binds it with SO_REUSEADDR or SO_REUSEPORT, and has all that comes."""
    with daemons.start() as daemon:
        port = str(daemon.address("UDP")[1])
        refused = 0
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            command = [sys.executable, "-c", _STEAL, port, str(option)]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
            if ended.returncode:
                raise PermissionError(ended.stderr.strip())
            refused += ended.stdout == "EADDRINUSE\n"
    yield exactly("refused with EADDRINUSE, of 2 ways", refused, 2)
