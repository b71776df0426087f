"""Test /metrics and the files of etc/prometheus with the programs that read them."""

from __future__ import annotations

import json
import signal
import urllib.request
from typing import Any

from tests.balancers.balancers import free_address
from tests.prometheus.programs import FILES, PrometheusTestCase
from tests.support.plain_clients import ACKNOWLEDGEMENT, one_shot
from tests.support.twistd_process import LIMIT


class PromtoolTests(PrometheusTestCase):
    """Run promtool, which checks names, types and rules."""

    programs = ("promtool",)

    def test_metrics(self) -> None:
        """`promtool check metrics` has nothing to say."""
        daemon = self.echotime("--http", "0", "--http-public-metrics")
        with urllib.request.urlopen("http://{}:{}/metrics".format(*daemon.address("HTTP")), timeout=LIMIT) as response:
            metrics = response.read()
        self.assertIn(b"echotime_connections_open 0\n", metrics)
        self.assertEqual(self.run_program("promtool", "check", "metrics", stdin=metrics), "")

    def test_rules(self) -> None:
        """The rules are valid, and each alert fires when it should."""
        rules, tests = (sorted(FILES.glob(pattern)) for pattern in ("*.rules.yml", "*.rules.test.yml"))
        for each in (*rules, *tests, FILES / "prometheus.yml"):
            self.adapted(each.name, {})
        self.assertIn(
            f"{len(rules)} rule files found", self.run_program("promtool", "check", "config", "prometheus.yml")
        )
        for each in tests:
            self.assertIn("SUCCESS", self.run_program("promtool", "test", "rules", each.name))


class ScrapeTests(PrometheusTestCase):
    """Run Prometheus and its exporters beside a daemon."""

    programs = ("prometheus", "prometheus-blackbox-exporter", "prometheus-node-exporter")

    def test_scrape(self) -> None:
        """Prometheus scrapes the daemon, the exporter probes it, and rules and dashboard find their data."""
        tcp = free_address()
        server = "{}:{}".format(*tcp)
        daemon = self.twistd("echotime", "--tcp", server, "--udp", server, "--http", "0", "--http-public-metrics")
        http = daemon.address("HTTP")  # the last port that the daemon opens
        result = str(self.folder / "echotime-check.prom")
        self.assertEqual(self.tool("check", "--textfile", result, server).returncode, 0)
        node = self.start_node_exporter(self.folder)
        prometheus = self.start_prometheus(tcp, [http], [node], {})
        prometheus.wait_for('up{job="echotime"}', lambda values: values == [1])
        prometheus.wait_for("probe_success", lambda values: values == [1])
        self.assertEqual(one_shot(tcp, b"x" * 5), b"x" * 5 + ACKNOWLEDGEMENT)
        prometheus.wait_for("echotime_messages_total", lambda values: values and values[0] >= 2)
        for expression in _expressions():
            prometheus.wait_for(expression)
        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        self.assertEqual({each["health"] for each in rules}, {"ok"})
        daemon.signal(signal.SIGKILL)
        prometheus.wait_for('ALERTS{alertname="EchotimeDown"}')
        prometheus.wait_for('ALERTS{alertname="EchotimeProbeFailed"}')

    def test_token(self) -> None:
        """With the token in a file, Prometheus scrapes a daemon that does not serve its metrics to everybody."""
        control, token = str(self.folder / "control"), self.folder / "token"
        daemon = self.echotime("--http", "0", "--control", control)
        daemon.line("listening on control socket")
        shown = self.tool("control", "--socket", control, "--json", "token").stdout
        token.write_text(json.loads(shown)["token"], encoding="ascii")
        commented = "    # authorization:\n    #   credentials_file: /etc/prometheus/echotime.token\n"
        active = f"    authorization:\n      credentials_file: {token}\n"
        prometheus = self.start_prometheus(daemon.address("TCP"), [daemon.address("HTTP")], [], {commented: active})
        prometheus.wait_for('up{job="echotime"}', lambda values: values == [1])


def _expressions() -> list[str]:
    """Return the expressions of the dashboard, with its variables replaced as Grafana does for all instances."""
    dashboard: Any = json.loads((FILES / "grafana-dashboard.json").read_text(encoding="utf-8"))
    # a row has no expressions
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [each.replace("$instance", ".*").replace("$__rate_interval", "1m") for each in expressions]
