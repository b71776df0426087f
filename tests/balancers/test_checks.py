"""Test the health checks of the balancers that have active ones, and a stop under load."""

from __future__ import annotations

import contextlib
import signal

from tests.balancers.balancers import (
    ALICE,
    BOB,
    ENVOY,
    HAPROXY,
    PROXY,
    TRAEFIK,
    Address,
    BalancerTestCase,
    Running,
    free_address,
)
from tests.balancers.rolling import roll
from tests.support.plain_clients import ACKNOWLEDGEMENT, connect, one_shot, read_exactly
from tests.support.twistd_process import Twistd

_IN_TURN = 6
"""Answered connections in turn. Two daemons get every other one, so more than one in turn is due to a check."""


class _Checks(BalancerTestCase):
    """Hold the tests that each balancer's class inherits."""

    def test_frozen_daemon(self) -> None:
        """A daemon that accepts and does not answer gets no client until it answers again. No check is logged."""
        first = free_address()
        second = free_address(first[1])
        frozen, other = (self.daemon_at(each, "--reply", each[0]) for each in (first, second))
        address = self.behind(first, second).address
        self.addCleanup(self.thaw, frozen)
        frozen.signal(signal.SIGSTOP)
        in_turn = 0
        while in_turn < _IN_TURN:
            in_turn = in_turn + 1 if self.is_answered(address) else 0
        self.thaw(frozen)
        while not one_shot(address, b"hello", BOB).endswith(first[0].encode()):
            pass
        for each in (frozen, other):
            self.assertNotIn(f"from {PROXY}", self.served(each).out)

    def test_rolling_restart(self) -> None:
        """No client is lost while one daemon after the other is restarted with --stop-delay."""
        result = roll(self.balancer, 2)
        self.assertEqual(result.lost, [])
        self.assertGreater(result.served, 100)

    @staticmethod
    def thaw(daemon: Twistd) -> None:
        """Let a daemon run again."""
        if daemon.process.poll() is None:
            daemon.signal(signal.SIGCONT)

    @staticmethod
    def is_answered(address: Address) -> bool:
        """Return True if a client is answered within a second."""
        with contextlib.suppress(OSError, AssertionError), connect(address, ALICE) as sock:
            sock.settimeout(1)
            sock.sendall(b"hello")
            return read_exactly(sock, 16) == b"hello" + ACKNOWLEDGEMENT
        return False


class HAProxyTests(_Checks):
    """Run the tests with HAProxy's tcp-check."""

    balancer = HAPROXY

    def test_http_check(self) -> None:
        """HAProxy's plain httpchk, by HTTP/1.0 without Host, sees a daemon that is ready, and one that is stopping."""
        place = free_address()
        daemon = self.daemon_at(place, "--http", f"{place[0]}:0", "--http-public-metrics", "--stop-delay", "1h")
        port = daemon.address("HTTP")[1]
        check = (
            "option httpchk GET /readyz\n    option log-health-checks\n"
            f"    default-server check port {port} inter 100ms fall 2 rise 2 send-proxy-v2"
        )
        running = Running(HAPROXY, [place], r"option tcp-check[\s\S]*check-send-proxy", check)
        self.addCleanup(running.end)
        running.wait_until_it_serves(lambda address: "Layer7 check passed, code: 200" in running.log())
        daemon.signal()
        running.wait_until_it_serves(lambda address: "code: 503" in running.log())
        daemon.signal()
        self.assertEqual(daemon.wait().status, -signal.SIGTERM)


class EnvoyTests(_Checks):
    """Run the tests with Envoy's TCP health check."""

    balancer = ENVOY


class TraefikTests(_Checks):
    """Run the tests with Traefik's TCP health check."""

    balancer = TRAEFIK


# not to be collected by itself
del _Checks
