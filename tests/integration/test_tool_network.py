"""Test the tools in networks that fail: refused by routers, unreachable, or silent."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.support.tool_case import ToolTestCase, environment
from tests.support.twistd_process import LIMIT
from tests.support.veth_pair import SERVER, Cable

BEYOND = "10.8.0.1"
"""Address beyond the server, which acts as a router."""
DEAD = tuple(f"10.8.0.{number}" for number in range(1, 5))
"""Addresses beyond the server, which drops all packets to them."""


class NetworkTests(ToolTestCase):
    """Run tools at one end of a veth pair."""

    def setUp(self) -> None:
        super().setUp()
        self.cable = Cable()
        self.addCleanup(self.cable.leave)

    def test_icmp_error_during_connect(self) -> None:
        """An ICMP error that arrives within connect(2) is reported. The kernel raises EPOLLERR alone for it."""
        self.cable.server(
            "sysctl -qw net.ipv4.ip_forward=1",
            "sysctl -qw net.ipv4.icmp_ratelimit=0",
            f"ip route add unreachable {BEYOND}",
        )
        self.cable.client(f"ip route add {BEYOND} via {SERVER}")
        self.assertEqual(self.tool("time", "-q", SERVER).returncode, 3, "its answer resolves the router's address")
        for args in (["send", "-q", BEYOND, "x"], ["check", "--tcp", BEYOND], ["ping", "--connect", "-c", "1", BEYOND]):
            ended = self.tool(*args)
            self.assertIn(b"No route to host (EHOSTUNREACH)", ended.stdout + ended.stderr)

    def test_unreachable_network(self) -> None:
        """A datagram that cannot be sent is reported, and its socket is closed once."""
        ended = self.tool("ping", "--udp", "-c", "1", BEYOND)
        self.assertEqual((ended.returncode, ended.stderr), (1, b""))
        self.assertIn(b"seq=1: Network is unreachable (ENETUNREACH)\n", ended.stdout)


class SilentNetworkTests(ToolTestCase):
    """Run tools with names whose addresses, or whose name server, do not answer."""

    def setUp(self) -> None:
        super().setUp()
        self.cable = Cable()
        self.addCleanup(self.cable.leave)
        self.cable.client(f"ip route add 10.8.0.0/24 via {SERVER}")
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        hosts = [f"{address} {name}" for address in DEAD for name in ("dead", "mixed")]
        (self.directory / "hosts").write_text("\n".join([*hosts, f"{SERVER} mixed\n"]), encoding="ascii")
        # longer than a test may last
        (self.directory / "resolv.conf").write_text(
            f"nameserver {DEAD[0]}\noptions timeout:30 attempts:5\n", encoding="ascii"
        )

    def with_names(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        """Run `echotime ARGS` with /etc/hosts and /etc/resolv.conf of this test."""
        mounts = "".join(
            f"mount --bind {self.directory.absolute()}/{each} /etc/{each} && " for each in ("hosts", "resolv.conf")
        )
        ended = subprocess.run(
            ["unshare", "-m", "sh", "-c", f'{mounts}exec "$@"', "sh", *self.command(*args)],
            capture_output=True,
            timeout=2 * LIMIT,
            check=False,
            env=environment({}),
        )
        self.assertNotIn(b"Traceback", ended.stderr)
        return ended

    def daemon(self) -> str:
        """Start a daemon with both services at the other end of the veth pair, and return :PORT."""
        port = self.twistd("echotime", "--tcp", f"{SERVER}:0", prefix=self.cable.prefix).address("TCP")[1]
        self.twistd("echotime", "--udp", f"{SERVER}:{port}", prefix=self.cable.prefix).address("UDP")
        return f":{port}"

    def test_addresses_race(self) -> None:
        """The one address that answers is found beside those that do not, and is named."""
        server = f"mixed{self.daemon()}"
        ended = self.with_names("check", server)
        self.assertEqual(ended.returncode, 0, ended.stdout)
        self.assertRegex(
            ended.stdout, rb"TCP echo exact in [\d.]+ ms from 10\.9\.0\.1; UDP time in [\d.]+ ms from 10\."
        )
        self.assertEqual(self.with_names("send", "-q", "--verify", server, "hello").stdout, b"hello\nI get it!\n")
        self.assertIn(b"answer from 10.9.0.1\n", self.with_names("time", server).stderr)
        for way in ("--tcp", "--connect", "--udp"):
            ended = self.with_names("ping", way, "-c", "1", server)
            self.assertRegex(ended.stdout, rb"(?m)^from 10\.9\.0\.1:\d+: seq=1 ")

    def test_one_deadline(self) -> None:
        """--timeout limits the check of all addresses and both services together."""
        started_at = time.monotonic()
        ended = self.with_names("check", "--timeout", "3", "dead")
        self.assertEqual(ended.returncode, 2)
        self.assertEqual(
            ended.stdout,
            b"ECHOTIME CRITICAL - TCP echo: timed out while connecting; UDP time: no answer to 3 requests, 1 s each\n",
        )
        self.assertLess(time.monotonic() - started_at, 3 * len(DEAD), "3 seconds were spent on each address")
        self.assertEqual(self.with_names("send", "-q", "--timeout", "1", "dead", "x").returncode, 4)
        self.assertEqual(self.with_names("time", "-q", "dead").returncode, 7)

    def test_dropped(self) -> None:
        """A dropped SYN is told apart from a connection on which nothing comes."""
        connecting = b"timed out while connecting\n"
        self.assertTrue(self.with_names("send", "-q", "--timeout", "0.5", "dead", "x").stderr.endswith(connecting))
        repeated = self.with_names("send", "--repeat", "2", "--timeout", "0.5", "dead", "x")
        self.assertIn(b"failures: 2, first in session 1: " + connecting, repeated.stdout)
        for way in ("--connect", "--tcp"):
            pinged = self.with_names("ping", way, "-c", "1", "-W", "0.5", "dead")
            self.assertIn(b"seq=1: " + connecting, pinged.stdout)

    def test_dead_name_server(self) -> None:
        """A name server that does not answer costs no more than the limit of the whole run."""
        for status, args in (
            (2, ["check", "--timeout", "1", "host.example"]),
            (6, ["send", "-q", "--timeout", "1", "host.example", "x"]),
            (6, ["send", "-q", "--timeout", "1", "--repeat", "9", "host.example", "x"]),
            (6, ["time", "-q", "--timeout", "0.3", "host.example"]),
            (6, ["ping", "-w", "1", "host.example"]),
        ):
            ended = self.with_names(*args)
            self.assertEqual(ended.returncode, status)
            self.assertIn(b"name not found (no answer from the name server in time)", ended.stdout + ended.stderr)
