"""Test what `echotime path` finds through each balancer, as the table of docs/path.md has it."""

from __future__ import annotations

import json

from tests.balancers.balancers import (
    ENVOY,
    HAPROXY,
    NGINX,
    TRAEFIK,
    Address,
    Balancer,
    BalancerTestCase,
    Running,
    free_address,
)
from tests.support.path_page import documented
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, read_exactly
from tests.support.tool_case import ToolTestCase

OF_ALL = {"client-port-translated", "server-address-translated", "syn-option-removed", "syn-dscp-changed"}
OF_ALL_UDP = {
    *("udp-client-port-translated", "udp-server-address-translated"),
    *("udp-dscp-changed", "udp-ecn-changed"),
}
"""Findings that the page gives for all balancers together."""
_CHECKS = (
    # haproxy.cfg
    r"^ *(option tcp-check|tcp-check .*|timeout check .*|default-server .*)\n"
    # nginx.conf
    r"|^ *proxy_protocol on;\n"
    # envoy.yaml
    r"|^      (transport_socket|health_checks):\n(^        .*\n)+"
    # traefik-dynamic.yaml
    r"|^        healthCheck:\n(^          .*\n)+|^      proxyProtocol:\n(^        .*\n)+"
)
"""PROXY headers and health checks of the examples, which a listener with --behave does not expect."""


def is_served(address: Address) -> bool:
    """Return True if a listener with --behave answers through the balancer."""
    with connect(address, "127.0.0.9") as sock:
        sock.settimeout(1)
        sock.sendall(b"echo\n?")
        return read_exactly(sock, 1 + len(ACKNOWLEDGEMENT)) == b"?" + ACKNOWLEDGEMENT


class _Path(BalancerTestCase, ToolTestCase):
    """Hold the test that each balancer's class inherits."""

    row: str
    """Name in the table."""
    leave_out = ""
    """What a default configuration does not have."""
    forwards_udp = True

    def test_findings(self) -> None:
        """The findings are exactly the documented ones, and nothing of a balancer's own stays untested."""
        address = free_address()
        self.echotime("--behave", "{}:{}=client".format(*address)).line("UDP .* misbehaves: client")
        pattern = f"{_CHECKS}|{self.leave_out}" if self.leave_out else _CHECKS
        running = Running(self.balancer, [address], pattern)
        self.addCleanup(running.end)
        running.wait_until_it_serves(is_served)
        ended = self.tool("path", "--json", "--idle-limit", "0.5", "{}:{}".format(*running.address))
        found = json.loads(ended.stdout)
        expected = OF_ALL | (OF_ALL_UDP if self.forwards_udp else set()) | documented(self.row)
        self.assertEqual({each["id"] for each in found["findings"]}, expected, json.dumps(found, indent=1))
        self.assertEqual(ended.returncode, 1)
        untested = {each["test"] for each in found["tests"] if each["result"] == "untested"}
        self.assertEqual({each for each in untested if self.forwards_udp or "udp" not in each}, set())


class HAProxyTests(_Path):
    """Run the test through HAProxy."""

    balancer, row, forwards_udp = HAPROXY, "HAProxy 2.6", False


class NginxDefaultTests(_Path):
    """Run the test through nginx, without what the example adds for half-closes."""

    balancer, row, leave_out = NGINX, "nginx 1.22, default", r"^ *proxy_half_close on;\n"


class NginxTests(_Path):
    """Run the test through nginx as in the example."""

    balancer, row = NGINX, "nginx 1.22, `proxy_half_close on`"


class EnvoyTests(_Path):
    """Run the test through Envoy."""

    balancer, row = ENVOY, "Envoy 1.40"


class TraefikTests(_Path):
    """Run the test through Traefik, without what the example adds for half-closes."""

    balancer: Balancer = TRAEFIK
    row = "Traefik 3.7, default"
    leave_out = r"^      terminationDelay: .*\n"


# not to be collected by itself
del _Path
