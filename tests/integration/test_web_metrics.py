"""Read /metrics of a running daemon."""

from __future__ import annotations

import http.client
import signal
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.plain_clients import one_shot
from tests.support.twistd_process import LIMIT, DaemonTestCase, Twistd


def scrape(daemon: Twistd, method: str = "GET") -> tuple[int, str]:
    """Return the status and the text of /metrics."""
    connection = http.client.HTTPConnection(*daemon.address("HTTP"), timeout=LIMIT)
    try:
        connection.request(method, "/metrics")
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def samples(daemon: Twistd) -> dict[tuple[str, str], float]:
    """Return the samples of /metrics by their names and the values of their labels."""
    families = text_string_to_metric_families(scrape(daemon)[1])
    return {
        (each.name.removeprefix("echotime_"), " ".join(each.labels.values())): each.value
        for family in families
        for each in family.samples
    }


class MetricsTests(DaemonTestCase):
    """Read the metrics of daemons on loopback."""

    def start(self, *args: str) -> Twistd:
        """Start a daemon whose metrics need no token."""
        return self.echotime("--http", "0", "--http-public-metrics", *args)

    def test_served(self) -> None:
        """Messages and refusals are counted, and the listeners have their names in the log."""
        daemon = self.start("--deny", "127.0.0.5")
        tcp = daemon.address("TCP")
        one_shot(tcp, b"hello", "127.0.0.1")
        self.assertEqual(one_shot(tcp, b"", "127.0.0.5"), b"")
        found = samples(daemon)
        self.assertEqual(found["messages_total", ""], 1)
        self.assertEqual(found["received_bytes_total", "tcp"], 5)
        self.assertEqual(found["connections_refused_total", "access list"], 1)
        label = "{}:{}".format(*tcp)
        self.assertGreater(found["backlog_limit", f"TCP {label}"], 0)
        udp = "{}:{}".format(*daemon.address("UDP"))
        self.assertEqual(found["kernel_drops_total", f"UDP {udp}"], 0)
        self.assertFalse([each for each in found if "127.0.0.5" in each[1]], "no label has a client's address")

    def test_head(self) -> None:
        """HEAD is answered without a body."""
        self.assertEqual(scrape(self.start(), "HEAD"), (200, ""))

    def test_reload(self) -> None:
        """A reload that fails shows until one succeeds."""
        path = Path(self.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[echotime]\n", encoding="ascii")
        daemon = self.start("--config", str(path))
        daemon.line("reload: enabled")
        for text, line, expected in (
            ("[echotime]\nidle-timeout = soon\n", "reload failed", 0),
            ("[echotime]\nidle-timeout = 60\n", "reload: changed", 1),
        ):
            path.write_text(text, encoding="ascii")
            daemon.signal(signal.SIGHUP)
            daemon.line(line)
            self.assertEqual(samples(daemon)["config_last_reload_successful", ""], expected)
