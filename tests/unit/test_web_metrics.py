"""Test web/collector.py and web/metrics.py, and that the files of etc/prometheus use metrics that exist."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus
from twisted.internet.task import Clock
from twisted.web.test.requesthelper import DummyRequest

from echotime.counters import ServiceCounters, counter
from echotime.health.check import HealthStatus, ProbeResult
from echotime.limits.access import AccessList
from echotime.limits.admission import AdmissionLimits
from echotime.net.listener import DROPPED_BY_KERNEL
from echotime.operators.reply_queue import QueueLimits, ReplyQueue
from echotime.services.echo_factory import EchoFactory
from echotime.services.traffic import TrafficLog
from echotime.web.metrics import MetricsResource
from echotime.wire.exposition import Format
from tests.support.peer_address import peer

FILES = Path(__file__).parents[2] / "etc" / "prometheus"
CHECKS = {"check_up", *(f"check_{each}_seconds" for each in ("tcp", "udp", "offset"))}
"""Metrics of `echotime check --textfile`."""
TCP, UDP = "TCP 127.0.0.1:1", "UDP 127.0.0.1:2"


def listener(label: str, **errors: int) -> Any:
    """Return a listener that is open, with counts of errors."""
    port = SimpleNamespace(connected=True, kind=SimpleNamespace(transport=label[:3].lower()))
    counts = {name.replace("_", " "): number for name, number in errors.items()}
    return SimpleNamespace(label=label, port=port, errors=lambda: counts)


@pytest.fixture
def state() -> Any:
    """Provide the state of a daemon with a listener of each kind, a reply queue, and a clock that is synchronized."""
    traffic = TrafficLog(Clock())
    factory = EchoFactory(traffic)
    factory.admission.set_limits(AccessList(), AdmissionLimits(9))
    return SimpleNamespace(
        factory=factory,
        traffic=traffic,
        queue=ReplyQueue(Clock(), limits=QueueLimits(wait_for_operator=True)),
        listeners=[listener(TCP), listener(UDP, **{DROPPED_BY_KERNEL: 5})],
        errors={"tcp": {"accept EMFILE": 3}, "udp": {"sendmsg EPERM": 4}}.__getitem__,
        health=SimpleNamespace(results=()),
        backend=SimpleNamespace(
            backlog=lambda limit: [{"listener": each, "pending": 6, "limit": 7} for each in (TCP, "TCP of --behave")]
        ),
        read_clock=lambda: SimpleNamespace(synchronized=True, max_error=0.5),
        reload_succeeded=lambda: True,
    )


def scrape(state: Any, accept: str = "") -> tuple[str, dict[str, float]]:
    """Return the content type, and the value of every sample by its name and labels."""
    request: Any = DummyRequest([b"metrics"])
    request.requestHeaders.setRawHeaders(b"Accept", [accept.encode()])
    body = MetricsResource(state).render(request).decode()
    parse = parse_openmetrics if "openmetrics" in accept else parse_prometheus
    samples = {}
    for family in parse(body):
        for each in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in each.labels.items())
            samples[each.name.removeprefix("echotime_") + (labels and f"{{{labels}}}")] = each.value
    return request.responseHeaders.getRawHeaders(b"Content-Type")[0].decode(), samples


def test_formats(state: Any) -> None:
    """Both formats have the same samples."""
    assert scrape(state)[0] == Format.PROMETHEUS.value
    kind, samples = scrape(state, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind == Format.OPENMETRICS.value
    assert samples == scrape(state)[1]


def test_counters(state: Any) -> None:
    """A counter shows its present value, and a refusal its reason in the log."""
    state.traffic.counters.messages = 8
    state.traffic.counters.bytes_in = 2**53
    state.traffic.counters.refuse("refused_loop", "192.0.2.1")
    samples = scrape(state)[1]
    assert samples["messages_total"] == 8
    assert samples["received_bytes_total{transport=tcp}"] == 2**53
    assert samples["datagrams_unanswered_total{reason=loop}"] == 1
    assert samples["connections_refused_total{reason=access list}"] == 0
    assert (samples["connections_open"], samples["connections_limit"]) == (0, 9)
    assert not any("192.0.2.1" in name for name in samples), "no label has a client's address"


def test_new_counter(state: Any) -> None:
    """A counter that is declared is a metric without a further edit."""

    @dataclass
    class More(ServiceCounters):
        sneezes: int = counter("Connections that sneezed.")
        refused_sneeze: int = counter("Refused sneezes.", "connections refused (sneeze)", "connection")

    state.factory.counters = lambda: More(sneezes=2, refused_sneeze=3)
    samples = scrape(state)[1]
    assert (samples["sneezes_total"], samples["connections_refused_total{reason=sneeze}"]) == (2, 3)


def test_listeners(state: Any) -> None:
    """Each listener has its health, its accept queue, and what the kernel dropped."""
    assert not any(name.startswith("listener_healthy") for name in scrape(state)[1]), "nothing is known yet"
    state.health.results = [
        ProbeResult(TCP, HealthStatus.HUNG),
        ProbeResult(UDP, HealthStatus.UNANSWERED),
    ]
    samples = scrape(state)[1]
    assert samples[f"listener_healthy{{listener={TCP}}}"] == 0
    assert samples[f"listener_healthy{{listener={UDP}}}"] == 1, "no answer proves nothing"
    assert (samples[f"backlog{{listener={TCP}}}"], samples[f"backlog_limit{{listener={TCP}}}"]) == (6, 7)
    assert (samples["accept_errors_total{errno=EMFILE}"], samples["accept_errors_total{errno=ENFILE}"]) == (3, 0)
    assert len([name for name in samples if "backlog" in name]) == 2, "those of --behave have none"
    assert samples[f"kernel_drops_total{{listener={UDP}}}"] == 5
    assert samples["datagrams_unanswered_total{reason=sendmsg EPERM}"] == 4
    assert f"datagrams_unanswered_total{{reason={DROPPED_BY_KERNEL}}}" not in samples, "counted once"


def test_closed_listener(state: Any) -> None:
    """A port that is closed at a stop has no figures."""
    state.listeners[1].port.connected = False
    assert f"kernel_drops_total{{listener={UDP}}}" not in scrape(state)[1]


def test_questions(state: Any) -> None:
    """Pending questions are a gauge, and settled ones count by their outcome."""
    state.queue.reply_to(b"one", peer(1))
    state.queue.reply_to(b"two", peer(2))
    state.queue.answer(1, b"yes", "root")
    samples = scrape(state)[1]
    assert (samples["questions_waiting"], samples["questions_queued_total"]) == (1, 2)
    assert (samples["questions_total{outcome=answered}"], samples["operators"]) == (1, 0)
    state.queue = None
    assert not any("questions" in name for name in scrape(state)[1])


def test_clock_and_reload(state: Any) -> None:
    """A clock whose status is unknown has no sample."""
    state.reload_succeeded = lambda: False
    samples = scrape(state)[1]
    assert (samples["clock_synchronized"], samples["clock_max_error_seconds"]) == (1, 0.5)
    assert samples["config_last_reload_successful"] == 0
    state.read_clock = lambda: SimpleNamespace(synchronized=None, max_error=0.0)
    assert not any("clock" in name for name in scrape(state)[1] if "unanswered" not in name)


def test_files(state: Any) -> None:
    """Rules, their tests and the dashboard use metrics and labels that exist, and all alerts and sums are tested."""
    state.health.results = [ProbeResult(TCP, HealthStatus.ANSWERED)]
    samples = scrape(state)[1]
    known = {name.partition("{")[0] for name in samples} | CHECKS
    rules, tests = (
        "".join(path.read_text(encoding="utf-8") for path in FILES.glob(pattern))
        for pattern in ("*.rules.yml", "*.rules.test.yml")
    )
    dashboard = (FILES / "grafana-dashboard.json").read_text(encoding="utf-8")
    recorded = re.findall(r"record: (\S+)", rules)
    for text in (rules, tests, dashboard):
        used = set(re.findall(r"\bechotime_(\w+)", re.sub("|".join(recorded), "", text)))
        assert used <= known, used - known
    labels = set(re.findall(r"[{,](\w+)=", " ".join(samples))) | {"instance", "job", "server", "service"}
    panels = json.loads(dashboard)["panels"]
    assert set(re.findall(r"{{(\w+)}}", json.dumps([each.get("targets") for each in panels]))) <= labels
    for name in (*re.findall(r"alert: (\w+)", rules), *recorded):
        assert name in tests


def test_every_metric_is_documented(state: Any) -> None:
    """docs/monitoring.md has every metric, in the generated table of counters or in the one that is written by hand."""
    state.health.results = (ProbeResult(TCP, HealthStatus.ANSWERED),)
    page = (FILES.parents[1] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    names = {name.partition("{")[0] for name in scrape(state)[1]}
    assert len(names) > 20
    assert {each for each in names if f"`echotime_{each}" not in page} == set()
