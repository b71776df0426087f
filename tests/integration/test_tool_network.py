"""Test the tools in networks that fail: refused by routers, unreachable, or silent."""

from __future__ import annotations

from tests.support.tool_case import ToolTestCase
from tests.support.veth_pair import SERVER, Cable

BEYOND = "10.8.0.1"
"""Address beyond the server, which acts as a router."""


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
