"""Start loops: one datagram with a forged source must not make two servers answer each other for ever.

See VU#417980 and CVE-2024-2169.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator
from functools import partial

from tests.hostile.attacks.floods import counted
from tests.hostile.daemons import Daemons
from tests.hostile.figures import Figure, exactly
from tests.hostile.forging import Address, forge, forge_on_link, raw_socket
from tests.hostile.network import Host, hosts
from tests.hostile.responder import echo, serving
from tests.hostile.timing import settled
from tests.hostile.udp_proxy import Faults, udp_proxy
from tests.support.plain_clients import ask_time

MOST = 10
"""Largest number of datagrams until silence."""


def two_hosts(daemons: Daemons) -> Iterator[Figure]:
    """Loop of two servers: they are on two hosts, and each is the forged source of a request to the other."""
    with (
        hosts(3) as (one, other, attacker),
        daemons.start(prefix=one.prefix, host=one.address) as first,
        daemons.start(prefix=other.prefix, host=other.address) as second,
    ):
        addresses = first.address("UDP"), second.address("UDP")
        number = _after_one(attacker, *addresses, lambda: one.received() + other.received())
        yield Figure("datagrams of two servers, fast path", number, most=MOST, least=2)


def slow_path(daemons: Daemons) -> Iterator[Figure]:
    """Loop over a slow path: the loop stays below any rate limit."""
    with (
        hosts(4) as (one, other, relay, attacker),
        daemons.start(prefix=one.prefix, host=one.address) as first,
        daemons.start(prefix=other.prefix, host=other.address) as second,
        udp_proxy(second.address("UDP"), Faults(delay=0.03), relay.socket) as path,
    ):
        number = _after_one(attacker, first.address("UDP"), path.address, lambda: one.received() + other.received())
        yield Figure("datagrams of two servers, 30 ms each way", number, most=MOST, least=2)


def with_echo(daemons: Daemons) -> Iterator[Figure]:
    """Loop with an echo service: the service of RFC 862, on a high port."""
    with (
        hosts(3) as (host, other, attacker),
        daemons.start(prefix=host.prefix, host=host.address) as daemon,
        other.socket() as service,
        serving(service, echo),
    ):
        addresses = service.getsockname(), daemon.address("UDP")
        number = _after_one(attacker, *addresses, lambda: host.received() + other.received())
        yield Figure("datagrams with an echo service", number, most=MOST, least=2)


def with_itself(daemons: Daemons) -> Iterator[Figure]:
    """Loop with itself: the forged source is the server's own address."""
    with hosts(1) as (host,), daemons.start(prefix=host.prefix, host=host.address) as daemon:
        address = daemon.address("UDP")
        # from the host itself: the kernel drops datagrams from elsewhere that claim a local source
        number = _after_one(host, address, address, host.received)
        yield Figure("datagrams with itself", number, most=MOST, least=1)


_SERVER, _NEIGHBOUR, _ALL_NODES = "fd77::1", "fd77::2", "ff02::1"
_NOBODY_IPV4 = [("0.0.0.0", "255.255.255.255"), ("0.0.0.0", "224.0.0.1")]
_NOBODY_IPV6 = [
    (source, to) for source in ("::", "::ffff:127.0.0.1", "::ffff:0.0.0.0") for to in (_SERVER, _ALL_NODES)
] + _NOBODY_IPV4[:1]
"""Invalid source addresses, and the destinations to which a neighbor can send a datagram with each."""


def with_loopback(daemons: Daemons) -> Iterator[Figure]:
    """Loop with a service on loopback: the kernel sends the answer to an invalid source there."""
    heard = not_answered = 0
    # without packet information no answer is bound to the requested address, which the kernel may refuse here
    surroundings = (
        ("[::]", _NOBODY_IPV6, "udp:IPV6_RECVPKTINFO=on"),
        ("[::]", _NOBODY_IPV6, "udp:IPV6_RECVPKTINFO=off"),
        ("0.0.0.0", _NOBODY_IPV4, "udp:IP_PKTINFO=off"),
    )
    with hosts(2) as (host, neighbour):
        host.use_ipv6(_SERVER)
        neighbour.use_ipv6(_NEIGHBOUR)
        for where, forged, option in surroundings:
            with (
                daemons.start("--answer-broadcast", "--sockopt", option, prefix=host.prefix, host=where) as daemon,
                host.run(partial(_service, "127.0.0.1")) as four,
                host.run(partial(_service, "::1")) as six,
            ):
                port = daemon.address("UDP")[1]
                for source, to in forged:
                    service = (six if source == "::" else four).getsockname()[1]
                    neighbour.run(partial(forge_on_link, "eth0", (source, service), (to, port), b"x"))
                # once this request is answered, all earlier datagrams have been processed
                neighbour.run(partial(ask_time, (_SERVER if ":" in where else host.address, port)))
                not_answered += counted(daemon.stop().out)
                heard += len(select.select([four, six], [], [], 0)[0])
    number = sum(len(forged) for _, forged, _ in surroundings)
    yield exactly(f"services on loopback that heard of {number} datagrams", heard, 0)
    yield exactly("counted", not_answered, number)


def _service(host: str) -> socket.socket:
    """Return a UDP socket on a loopback address."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock


def _after_one(attacker: Host, source: Address, to: Address, received: Callable[[], int]) -> int:
    """Return the number of datagrams received after a forged one, that one included."""
    with attacker.run(raw_socket) as raw:
        before = received()
        forge(source, to, by=raw)
        return settled(received) - before
