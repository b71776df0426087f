"""Test the fleet's rules: five daemons, two hosts that check them, and a Prometheus that sees all of them."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.balancers.balancers import Address, free_address
from tests.prometheus.programs import Prometheus, PrometheusTestCase
from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, connect, one_shot, read_exactly
from tests.support.twistd_process import LIMIT, Twistd

_DAEMONS = 5
_DENIED = "127.0.0.9"
_WINDOW = 300
"""Seconds over which the rules take rates."""


class FleetTests(PrometheusTestCase):
    """Compare what one Prometheus shows with what the clients did, and with the output of each check."""

    programs = ("prometheus", "prometheus-blackbox-exporter", "prometheus-node-exporter")

    def setUp(self) -> None:
        super().setUp()
        self.addresses = [free_address() for _each in range(_DAEMONS)]
        self.daemons = [self._daemon(each) for each in self.addresses]
        self.https = [each.address("HTTP") for each in self.daemons]  # the last port that a daemon opens

    def _daemon(self, address: Address) -> Twistd:
        served = "{}:{}".format(*address)
        http = ("--http", "0", "--http-public-metrics")
        return self.twistd("echotime", "--tcp", served, "--udp", served, "--deny", f"{_DENIED}/32", *http)

    def prometheus(self, nodes: list[Address]) -> Prometheus:
        """Start a Prometheus, and wait until it has scraped each daemon. blackbox_exporter probes none of them."""
        started = self.start_prometheus(free_address(), self.https, nodes, {})
        started.wait_for('job:up:sum{job="echotime"}', lambda values: values == [_DAEMONS])
        started.wait_for("count(echotime_messages_total)", lambda values: values == [_DAEMONS])
        return started

    def test_sums(self) -> None:
        """Each sum is what the clients of all five daemons did together."""
        prometheus = self.prometheus([])
        sessions = requests = refused = held = 0
        for number, address in enumerate(self.addresses, 1):
            for _each in range(number):
                self.assertEqual(one_shot(address, b"x" * 100), b"x" * 100 + ACKNOWLEDGEMENT)
                sock = connect(address)
                self.addCleanup(sock.close)
                sock.sendall(b"y" * 10)
                read_exactly(sock, 10 + len(ACKNOWLEDGEMENT))
            for _each in range(3 * number):
                self.assertEqual(len(ask_time(address)), 4)
            for _each in range(2 * number):
                self._refused(address)
            sessions, held = sessions + number, held + number
            requests, refused = requests + 3 * number, refused + 2 * number
        received = 100 * sessions + 10 * held
        expected = {
            "echotime_connections": sessions,
            "echotime_messages": sessions + held,
            "echotime_datagrams": requests,
            'echotime_received_bytes{transport="tcp"}': received,
            'echotime_sent_bytes{transport="tcp"}': received + len(ACKNOWLEDGEMENT) * (sessions + held),
            'echotime_connections_refused{reason="access list"}': refused,
        }
        prometheus.wait_for("job:echotime_connections_open:sum", lambda values: values == [held])
        for counter, amount in expected.items():
            name, brace, labels = counter.partition("{")
            selector = brace + labels
            total = f"sum({name}_total{selector})"
            prometheus.wait_for(total, lambda values, amount=amount: values == [amount])  # type: ignore[misc]
            level = f"job_{labels.partition('=')[0]}" if labels else "job"
            self._rates(prometheus, f"{level}:{name}:rate5m{selector}", f"rate({name}_total{selector}[5m])", amount)

    @staticmethod
    def _rates(prometheus: Prometheus, recorded: str, each: str, amount: int) -> None:
        """Wait until the recorded rate is the sum of the rates of all daemons, and their work over the window."""

        def is_sum(times: list[float]) -> bool:
            if not times:
                return False
            at = f"{times[0]:.3f}"
            (total,) = prometheus.query(recorded, time=at)
            rates = prometheus.query(each, time=at)
            # A sample of that time may have come after the rule was evaluated: then the next evaluation agrees.
            # rate() extrapolates by up to 1.6 intervals: less of the whole with each scrape.
            return (
                len(rates) == _DAEMONS
                and math.isclose(sum(rates), total)
                and 0.99 * amount <= _WINDOW * total <= 1.2 * amount
            )

        prometheus.wait_for(f"timestamp({recorded})", is_sum)

    def _refused(self, address: Address) -> None:
        with connect(address, _DENIED) as sock, contextlib.suppress(ConnectionResetError):
            self.assertEqual(sock.recv(1), b"")

    def test_mesh(self) -> None:
        """Each pair shows what the check said, and an alert says whether a path, a target or a check is at fault."""
        dead = self.closed_port()
        targets = [*("{}:{}".format(*each) for each in self.addresses), dead]
        hosts = [self.folder / name for name in ("a", "b")]
        checks = {(host, target): self._check(host, target) for host in hosts for target in targets}
        nodes = [self.start_node_exporter(each) for each in hosts]
        names = ["{}:{}".format(*each) for each in nodes]
        expected_up, expected_seconds = {}, {}
        for (host, target), child in checks.items():
            shown = json.loads(child.communicate(timeout=LIMIT)[0])
            name = names[hosts.index(host)]
            expected_up.update({(name, target, each): float(is_up) for each, is_up in shown["up"].items()})
            expected_seconds.update({(name, target, each): m["seconds"] for each, m in shown["measurements"].items()})
        # to b, the last daemon does not give the right answer; nobody reaches the dead one
        paths = {(names[1], targets[-2], "tcp"), *((name, dead, each) for name in names for each in ("tcp", "udp"))}
        self.assertEqual({pair for pair, is_up in expected_up.items() if not is_up}, paths)
        forgotten = self._result(hosts[1], targets[0])
        os.utime(forgotten, (time.time() - 2 * _WINDOW,) * 2)

        prometheus = self.prometheus(nodes)
        prometheus.wait_for("count(echotime_check_up)", lambda values: values == [len(expected_up)])
        labels = ("instance", "server", "service")
        self.assertEqual(prometheus.labeled("echotime_check_up", *labels), expected_up)
        seconds = {
            (*pair, each): round(value, 6)  # as JSON has it
            for each in ("tcp", "udp", "offset")
            for pair, value in prometheus.labeled(f"echotime_check_{each}_seconds", *labels[:2]).items()
        }
        self.assertEqual(seconds, expected_seconds)
        prometheus.wait_for("server_service:echotime_check_up:avg == 0.5", lambda values: len(values) == 1)
        for target in targets[:-1]:
            (slowest,) = prometheus.query(f'server:echotime_check_udp_seconds:max{{server="{target}"}}')
            self.assertEqual(round(slowest, 6), max(expected_seconds[name, target, "udp"] for name in names))
        firing = 'ALERTS{alertstate="firing", alertname=~"EchotimeTarget.*|EchotimePair.*|EchotimeCheck.*"}'
        prometheus.wait_for(firing, lambda values: len(values) == 4)
        self.assertEqual(
            set(prometheus.labeled(firing, "alertname", "instance", "server", "service", "file")),
            {
                ("EchotimeTargetUnreachable", "", dead, "tcp", ""),
                ("EchotimeTargetUnreachable", "", dead, "udp", ""),
                ("EchotimePairUnreachable", names[1], targets[-2], "tcp", ""),
                ("EchotimeCheckStale", names[1], "", "", str(forgotten)),
            },
        )

    def _check(self, host: Path, target: str) -> subprocess.Popen[bytes]:
        """Start the check of a target, as a host's unit does. On the way to b, the last daemon's answer is altered."""
        host.mkdir(exist_ok=True)
        altered = host.name == "b" and target == "{}:{}".format(*self.addresses[-1])
        expected: list[Any] = ["--ack", "altered"] if altered else []
        return self.start("check", "--json", *expected, "--textfile", str(self._result(host, target)), target)

    @staticmethod
    def _result(host: Path, target: str) -> Path:
        return host / f"echotime-check-{target}.prom"
