"""Test what `echotime path` finds through networks that firewalls change, as the table of docs/path.md has it."""

from __future__ import annotations

import json

from tests.support.path_case import PathCase
from tests.support.path_page import documented
from tests.support.veth_pair import CLIENT, SERVER, Cable

NETWORKS: dict[str, tuple[str, ...]] = {
    "a veth pair": (),
    "masquerading": ("-t nat -A INPUT -j SNAT --to-source 10.9.0.77",),
    "MSS clamping to 1200": ("-t mangle -A PREROUTING -p tcp --syn -j TCPMSS --set-mss 1200",),
    "a firewall that strips SACK": (
        "-t mangle -A PREROUTING -p tcp --syn -j TCPOPTSTRIP --strip-options sack-permitted",
    ),
    "DSCP set to 0": ("-t mangle -A PREROUTING -j DSCP --set-dscp 0",),
    "20% of UDP datagrams dropped": ("-A INPUT -p udp -m statistic --mode random --probability 0.2 -j DROP",),
    "fragments dropped": ("-t raw -A PREROUTING -f -j DROP",),
    "datagrams from some source ports dropped": ("-A INPUT -p udp -m u32 --u32 0>>22&0x3C@0>>16&7=3:4 -j DROP",),
    "UDP rejected": ("-A INPUT -p udp -j REJECT",),
}
"""The rows of docs/path.md, and the rules of iptables at the server that make such a network."""


class NetworkTests(PathCase):
    """Run the tool at one end of a veth pair, with a firewall at the other."""

    def setUp(self) -> None:
        super().setUp()
        self.need("iptables")
        self.cable = Cable()
        self.addCleanup(self.cable.leave)

    def test_networks(self) -> None:
        """Each network has exactly the documented findings."""
        server = self.behaving("client", prefix=self.cable.prefix)
        for row, rules in NETWORKS.items():
            with self.subTest(row):
                self.cable.server(*(f"iptables {each}" for each in rules))
                found = self.path(server)
                self.cable.server(*(f"iptables {each.replace('-A', '-D')}" for each in rules))
                self.assertEqual((row, self.ids(found)), (row, documented(row)), json.dumps(found, indent=1))

    def test_fragments_of_answers(self) -> None:
        """A firewall at the client may drop what the server has fragmented."""
        server = self.behaving("client", prefix=self.cable.prefix)
        self.cable.client("iptables -t raw -A PREROUTING -f -j DROP")
        found = self.path(server)
        self.assertEqual(self.ids(found), documented("fragments dropped"))
        self.assertTrue(found["findings"][0]["values"]["answers"])

    def test_dnat(self) -> None:
        """Another port that is forwarded to the server's is a finding for each transport."""
        server = self.behaving("client", prefix=self.cable.prefix)
        port = server.rpartition(":")[2]
        self.cable.server(
            *(
                f"iptables -t nat -A PREROUTING -p {each} --dport 7 -j REDIRECT --to-ports {port}"
                for each in ("tcp", "udp")
            )
        )
        found = self.path(f"{SERVER}:7")
        self.assertEqual(self.ids(found), documented("DNAT"))
        values = {each["test"]: each["values"] for each in found["findings"]}
        self.assertEqual(values["address"], {"sent": f"{SERVER}:7", "seen": server})

    def test_hops(self) -> None:
        """Routers lower the TTL, which is no finding."""
        server = self.behaving("client", prefix=self.cable.prefix)
        self.cable.server("iptables -t mangle -A PREROUTING -j TTL --ttl-dec 3")
        found = self.path(server)
        self.assertEqual(self.ids(found), set())
        seen = {each["test"]: each["seen"] for each in found["tests"]}
        self.assertIn("3 routers", seen["syn"])
        self.assertIn("3 routers", seen["udp header"])
        self.assertIn(CLIENT, seen["address"])
