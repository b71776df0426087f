"""Test daemon and tools on link-local addresses, which need their interface."""

from __future__ import annotations

from tests.support.control_case import ControlTestCase
from tests.support.veth_pair import Cable

SERVER, CLIENT, ELSEWHERE = "fe80::1", "fe80::2", "fe80::3"


class LinkLocalTests(ControlTestCase):
    """Reach a daemon over a veth pair, by its link-local address, from a host with a second interface."""

    def setUp(self) -> None:
        super().setUp()
        self.cable = Cable()
        self.addCleanup(self.cable.leave)
        self.cable.server(f"ip -6 address add {SERVER}/64 dev here nodad")
        self.cable.client(
            f"ip -6 address add {CLIENT}/64 dev there nodad",
            "ip link add other type veth peer name unused",
            "ip link set other up",
            "ip link set unused up",
            f"ip -6 address add {ELSEWHERE}/64 dev other nodad metric 1",
        )

    def test_served(self) -> None:
        """Log and health check name the interface, and the tools accept the responses."""
        where = ("--tcp", f"[{SERVER}%here]:0", "--udp", f"[{SERVER}%here]:0")
        daemon = self.twistd("echotime", *where, "--control", str(self.path), prefix=self.cable.prefix)
        (tcp_host, tcp), (udp_host, udp) = (daemon.address(each) for each in ("TCP", "UDP"))
        self.assertEqual((tcp_host, udp_host), (f"{SERVER}%here", f"{SERVER}%here"))
        for args in (
            ("time", f"[{SERVER}%there]:{udp}"),
            ("check", "--udp", f"[{SERVER}%there]:{udp}"),
            ("check", "--tcp", f"[{SERVER}%there]:{tcp}"),
            ("ping", "--udp", "--count", "1", f"[{SERVER}%there]:{udp}"),
        ):
            ended = self.tool(*args)
            self.assertEqual((ended.returncode, args), (0, args), ended.stderr)
        status = self.output("status")
        for label in (f"TCP [{SERVER}%here]:{tcp}", f"UDP [{SERVER}%here]:{udp}"):
            self.assertIn(f"listening on {label}, probe answered in", status)
        self.served(daemon)

    def test_interface_that_does_not_exist(self) -> None:
        """A listener on such an interface is refused with the reason."""
        for transport in ("tcp", "udp"):
            ended = self.refused(f"--{transport}", f"[{SERVER}%nosuch0]:7")
            self.assertEqual(ended.status, 1)
            reason = "No such device (ENODEV): there is no such interface"
            self.assertIn(f"cannot listen on {transport.upper()} [{SERVER}%nosuch0]:7: {reason}\n", ended.err)
