"""Loops: one datagram with a forged source must not make two servers talk for ever (VU#417980, CVE-2024-2169)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.hostile.daemons import Daemons
from tests.hostile.figures import Figure
from tests.hostile.forging import Address, forge, raw_socket
from tests.hostile.network import Host, hosts
from tests.hostile.responder import echo, serving
from tests.hostile.timing import settled
from tests.hostile.udp_proxy import Faults, udp_proxy

MOST = 10
"""Datagrams until silence."""


def two_hosts(daemons: Daemons) -> Iterator[Figure]:
    """Loop of two servers: they are on two hosts, and each is the forged source of a question to the other."""
    with (
        hosts(3) as (one, other, attacker),
        daemons.start(prefix=one.prefix, host=one.address) as first,
        daemons.start(prefix=other.prefix, host=other.address) as second,
    ):
        addresses = first.address("UDP"), second.address("UDP")
        number = _after_one(attacker, *addresses, lambda: one.received() + other.received())
        yield Figure("datagrams of two servers, fast path", number, most=MOST, least=2)


def slow_path(daemons: Daemons) -> Iterator[Figure]:
    """Loop over a slow path: it stays below any limit of a rate."""
    with (
        hosts(4) as (one, other, relay, attacker),
        daemons.start(prefix=one.prefix, host=one.address) as first,
        daemons.start(prefix=other.prefix, host=other.address) as second,
        udp_proxy(second.address("UDP"), Faults(delay=0.03), relay.socket) as path,
    ):
        number = _after_one(attacker, first.address("UDP"), path.address, lambda: one.received() + other.received())
        yield Figure("datagrams of two servers, 30 ms each way", number, most=MOST, least=2)


def with_echo(daemons: Daemons) -> Iterator[Figure]:
    """Loop with an echo service: as RFC 862 has it, on a high port."""
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
        # from the host itself: from elsewhere the kernel takes nothing that claims to be of its own
        number = _after_one(host, address, address, host.received)
        yield Figure("datagrams with itself", number, most=MOST, least=1)


def _after_one(attacker: Host, source: Address, to: Address, received: Callable[[], int]) -> int:
    """Datagrams that are received after a forged one, with it."""
    with attacker.run(raw_socket) as raw:
        before = received()
        forge(source, to, by=raw)
        return settled(received) - before
