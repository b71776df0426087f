"""Run the attacks that need other hosts, other users, forged sources or many datagrams, and check their figures.

The attacks are those of `make attack`, some with smaller numbers. Figures that depend on the load of the machine
are not judged here.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from tests.hostile.attacks import beyond, connections, contents, datagrams, floods, loops, options, streams
from tests.hostile.daemons import Daemons
from tests.hostile.figures import Figure
from tests.hostile.network import CannotMake, hosts
from tests.support.twistd_process import LIMIT, DaemonTestCase


class AttackTests(DaemonTestCase):
    """Run each attack against a daemon of its own."""

    def holds(self, attack: Callable[..., Iterator[Figure]], **sizes: Any) -> None:
        """Check that an attack misses no target; skip with the reason if it cannot run."""
        try:
            figures = list(attack(Daemons(), **sizes))
        except (CannotMake, PermissionError) as error:
            self.skipTest(str(error))
        judged = [each for each in figures if each.target and not each.timed]
        self.assertTrue(judged)
        for each in judged:
            self.assertTrue(each.met, f"{each.what}: {each.measured}, expected {each.target}")

    def test_loop_between_hosts(self) -> None:
        """Two daemons, each the forged source of a request to the other, are silent within 10 datagrams."""
        self.holds(loops.two_hosts)

    def test_loop_over_a_slow_path(self) -> None:
        """Two daemons over a path of 30 ms each way are silent within 10 datagrams."""
        self.holds(loops.slow_path)

    def test_loop_with_loopback(self) -> None:
        """A neighbor's datagram draws no answer to a service that listens on loopback only."""
        self.holds(loops.with_loopback)

    def test_silent_connections(self) -> None:
        """One address opens more idle connections than the limit; another address is served."""
        self.holds(connections.silent)

    def test_flood_of_connections(self) -> None:
        """One address connects at full speed; each client of another address is served."""
        self.holds(connections.flood)

    def test_amplification(self) -> None:
        """An answer is hardly longer than the shortest request, and there is one per request."""
        self.holds(datagrams.amplification)

    def test_broadcast(self) -> None:
        """A request to a broadcast or all-hosts multicast address is not answered."""
        self.holds(datagrams.broadcast)

    def test_broadcast_answered(self) -> None:
        """With --answer-broadcast a broadcast request is answered, so the test above could have seen it."""
        try:
            with (
                hosts(2) as (host, asker),
                Daemons("--answer-broadcast").start(prefix=host.prefix, host="0.0.0.0") as daemon,
                asker.socket() as sock,
            ):
                self.assertEqual(datagrams.answers_to_many(sock, host, daemon.address("UDP")[1]), 2)
        except CannotMake as error:
            self.skipTest(str(error))

    def test_victim_of_forged_datagrams(self) -> None:
        """A client whose address is forged is still answered."""
        self.holds(datagrams.victim, questions=20)

    def test_source_that_does_not_exist(self) -> None:
        """ICMP errors for answers to hosts that do not exist do not close the port."""
        self.holds(datagrams.icmp_errors)

    def test_secondary_address(self) -> None:
        """A connected client of a secondary address is answered from there, on an interface as on loopback."""
        self.holds(datagrams.secondary_address)

    def test_other_users(self) -> None:
        """A process of another user cannot share the UDP port, whichever binds first."""
        self.holds(datagrams.hijack)

    def test_log_of_unanswerable_datagrams(self) -> None:
        """10,000 unanswerable datagrams from each kind of source cost a few lines, and all are counted."""
        self.holds(floods.log)

    def test_log_of_any_byte(self) -> None:
        """Each of the 256 byte values is logged in printable ASCII, and can be decoded."""
        self.holds(contents.printable)

    def test_years(self) -> None:
        """The four bytes are right at the turns of 2036, 2038 and 2106."""
        self.holds(contents.years)

    def test_no_descriptors(self) -> None:
        """After more connections than descriptors the daemon serves on."""
        self.need("prlimit")
        self.holds(connections.descriptors)

    def test_simultaneous_connects(self) -> None:
        """Hundreds of simultaneous connections are all answered."""
        self.holds(connections.burst, number=400)

    def test_memory_of_idle_connections(self) -> None:
        """The memory of idle connections stays small."""
        self.holds(connections.idle, number=400)

    def test_dead_resolver(self) -> None:
        """The names of peers are never looked up."""
        self.holds(connections.dead_resolver)

    def test_dead_resolver_is_asked(self) -> None:
        """A lookup in the same namespace reaches the resolver, so the test above would notice one."""
        try:
            with (
                hosts(1) as (host,),
                tempfile.NamedTemporaryFile("w") as file,
                connections.resolver(host, file) as resolver,
                subprocess.Popen(
                    [*host.prefix, *connections.with_resolver(file.name), "getent", "hosts", "192.0.2.9"]
                ) as client,
            ):
                resolver.settimeout(LIMIT)
                self.assertTrue(resolver.recv(1000))
                client.kill()
        except CannotMake as error:
            self.skipTest(str(error))

    def test_stop_while_clients_send(self) -> None:
        """Clients that send during a stop get all replies and an end of file."""
        self.holds(streams.stop_while_sending)

    def test_half_connections(self) -> None:
        """Clients are served during a flood of handshakes that are never completed."""
        self.holds(beyond.half_connections)

    def test_sources_without_number(self) -> None:
        """Answers from countless forged sources use a bounded amount of memory."""
        self.holds(beyond.suspects)

    def test_small_windows(self) -> None:
        """Clients that read a few bytes at a time get every byte."""
        self.holds(beyond.single_bytes, clients=10)

    def test_resets(self) -> None:
        """A client that resets at any point leaves nothing behind."""
        self.holds(beyond.resets, number=1000)

    def test_vanishing_link(self) -> None:
        """An interface or address that goes away and comes back breaks no connection."""
        self.holds(beyond.vanishing_link)


class OptionTests(DaemonTestCase):
    """Count the socket options that are known by name."""

    def test_by_name(self) -> None:
        """Enough socket options are known, can be read live and are explained."""
        for each in list(options.by_name(Daemons())):
            self.assertTrue(each.met, f"{each.what}: {each.measured}, expected {each.target}")
