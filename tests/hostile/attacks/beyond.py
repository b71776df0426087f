"""Attack beyond the list of known threats: half-open connections, countless sources, readers of single bytes."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from tests.hostile.daemons import Daemons, descriptors
from tests.hostile.figures import Figure, exactly, yes
from tests.hostile.forging import raw_socket, syn_packet
from tests.hostile.network import hosts
from tests.hostile.suspects import send_answers
from tests.hostile.timing import settled
from tests.support.plain_clients import ACKNOWLEDGEMENT, RESET, ask_time, connect, one_shot, read_all, read_exactly
from tests.support.twistd_process import LIMIT

_MB = 1_000_000


def half_connections(daemons: Daemons, number: int = 20_000, clients: int = 50) -> Iterator[Figure]:
    """SYN flood: connections from forged sources, never completed, fill the backlog."""
    with (
        hosts(3) as (host, attacker, client),
        daemons.start(prefix=host.prefix, host=host.address) as daemon,
        attacker.run(raw_socket) as raw,
    ):
        address = daemon.address("TCP")
        chance = random.Random(1)
        served = 0
        for _ in range(clients):
            for _ in range(number // clients):
                source = (
                    f"{host.address.rpartition('.')[0]}.{chance.randrange(100, 255)}",
                    chance.randrange(1024, 65536),
                )
                raw.sendto(syn_packet(source, address, chance.getrandbits(32)), (host.address, 0))
            served += client.run(lambda: one_shot(address, b"hi") == b"hi" + ACKNOWLEDGEMENT)
    yield exactly(f"clients served during {number} half-open connections", served, clients)


def suspects(daemons: Daemons, number: int = 100_000) -> Iterator[Figure]:
    """Countless sources: each sends what looks like an answer, and the loop guard has to remember it."""
    with hosts(1) as (host,), daemons.start(prefix=host.prefix, host=host.address) as daemon:
        address = daemon.address("UDP")
        host.run(lambda: send_answers(address, number // 2, 1))
        before = daemon.resident()
        host.run(lambda: send_answers(address, number // 2, 2))
        grown = max(0, daemon.resident() - before)
        answered = host.run(lambda: len(ask_time(address)) == 4)
    yield Figure(f"growth of memory by the later half of {number} sources", grown / _MB, "MB", most=1)
    yield yes("an ordinary client is answered", answered)


def single_bytes(daemons: Daemons, clients: int = 50, size: int = 20_000) -> Iterator[Figure]:
    """Small windows: clients accept a few bytes at a time, so that every reply leaves in small segments."""
    with daemons.start("--ack", "") as daemon, ThreadPoolExecutor(clients) as threads:
        address = daemon.address("TCP")
        message = os.urandom(size)

        def sip() -> bool:
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
                sock.settimeout(LIMIT)
                sock.connect(address)
                sock.sendall(message)
                sock.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: sock.recv(7), b"")) == message

        exact = sum(each.result() for each in [threads.submit(sip) for _ in range(clients)])
    yield exactly("exact answers in windows of a few bytes", exact, clients)


def resets(daemons: Daemons, number: int = 5000) -> Iterator[Figure]:
    """Resets at every point: after the handshake, after a message, before and after the reply is read."""
    with daemons.start("--log-message-rate", "0") as daemon:
        address = daemon.address("TCP")
        with connect(address) as sock:
            # the first echo opens descriptors that all connections share
            for _ in range(2):
                sock.sendall(b"hi")
                read_exactly(sock, len(b"hi" + ACKNOWLEDGEMENT))
            before = descriptors(daemon) - 1
        for each in range(number):
            with connect(address) as sock:
                if each % 4:
                    sock.sendall(bytes(each % 9000))
                if each % 4 > 1:
                    sock.shutdown(socket.SHUT_WR)
                if each % 4 > 2:
                    read_all(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        # connections are accepted in order: all earlier ones have ended, or were reset before accept(2)
        one_shot(address, b"last")
        left = settled(lambda: descriptors(daemon)) - before
    yield exactly(f"descriptors left by {number} resets", left, 0)


def vanishing_link(daemons: Daemons) -> Iterator[Figure]:
    """Vanishing link: the interface goes down and comes back, then its address is removed and added again."""
    with (
        hosts(2) as (host, client),
        daemons.start("--sockopt", "udp:IP_RECVERR=on", prefix=host.prefix, host=host.address) as daemon,
    ):
        tcp, udp = daemon.address("TCP"), daemon.address("UDP")
        with client.run(lambda: connect(tcp)) as sock:
            for away, back in (
                (["link", "set", "eth0", "down"], ["link", "set", "eth0", "up"]),
                (["address", "flush", "dev", "eth0"], ["address", "add", f"{host.address}/24", "dev", "eth0"]),
            ):
                sock.sendall(b"before")
                read_exactly(sock, len(b"before" + ACKNOWLEDGEMENT))
                host.change(*away)
                client.run(lambda: _send(udp))
                sock.sendall(b"during")
                host.change(*back)
                answer = read_exactly(sock, len(b"during" + ACKNOWLEDGEMENT))
                yield yes(f"{' '.join(away[:2])}: the connection goes on", answer == b"during" + ACKNOWLEDGEMENT)
                yield yes("a datagram is answered", client.run(lambda: len(ask_time(udp)) == 4))
                yield yes(
                    "a new connection is served",
                    client.run(lambda: one_shot(tcp, b"after")) == b"after" + ACKNOWLEDGEMENT,
                )


def _send(to: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"", to)
