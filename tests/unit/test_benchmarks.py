"""The benchmarks without running them: medians, bars, tables, what a process costs, how one is started and ended."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.bars import BARS, judged
from benchmarks.measure import cpu_seconds, resident_bytes
from benchmarks.processes import SERVER_CPU, server_process
from benchmarks.report import text
from benchmarks.results import Outcome, Results
from benchmarks.servers import SERVERS, DidNotStart, Server, running
from benchmarks.workloads import WORKLOADS

SERVER = {each.name: each for each in SERVERS}
WORKLOAD = {each.name: each for each in WORKLOADS}


def rounds(*per_cpu_second: float) -> list[dict[str, float]]:
    """Figures of rounds that differ in the work alone."""
    return [{"per_cpu_second": each, "p50": 10, "p99": 20, "p999": 30} for each in per_cpu_second]


@pytest.fixture
def results() -> Results:
    """Two servers at one workload, of which a third failed."""
    outcome = Outcome(
        WORKLOAD["sessions"],
        {"echotime": rounds(9_000, 30_000, 20_000), "uvloop": rounds(40_000), "go": rounds(1)},
        {"go": "it fell over"},
    )
    servers = [SERVER[name] for name in ("echotime", "uvloop", "go")]
    return Results(3, 0.5, {"kernel": "6"}, servers, {"c": "no gcc"}, [outcome])


def test_medians(results: Results) -> None:
    """Of the rounds; none of a server that failed or took no part."""
    assert results.median("sessions", "echotime", "per_cpu_second") == 20_000
    assert results.median("sessions", "go", "per_cpu_second") is None
    assert results.median("sessions", "c", "per_cpu_second") is None
    assert results.median("echo-1", "echotime", "per_cpu_second") is None
    assert results.failed


def test_bars(results: Results) -> None:
    """Only those are judged for which there is something to compare."""
    (bar,) = judged(results)
    assert (bar.asked, bar.found, bar.reached) == ("at least 0.85 of uvloop", 0.5, False)
    assert bar.margin == pytest.approx(-0.41, abs=0.01)


def test_tables(results: Results) -> None:
    """Every table, and why something is missing in them."""
    lines = [" ".join(line.split()) for line in text(results).splitlines()]
    assert "echotime 20.0" in lines
    assert "uvloop* 0.50" in lines
    assert "echotime 105%" in lines
    assert "uvloop* 10 / 20 / 30" in lines
    assert "without c: no gcc" in lines
    assert "go failed at sessions: it fell over" in lines


def test_json(results: Results) -> None:
    """Every round is in it."""
    found = json.loads(json.dumps(results.as_json()))
    server = found["workloads"]["sessions"]["servers"]["echotime"]
    assert [each["per_cpu_second"] for each in server["rounds"]] == [9_000, 30_000, 20_000]
    assert server["median"]["per_cpu_second"] == 20_000


def test_names_are_known() -> None:
    """Bars and servers name workloads and servers that there are."""
    for bar in BARS:
        assert bar.workload in WORKLOAD
        assert set(bar.others) <= SERVER.keys()
    for server in SERVERS:
        assert server.leaves_out <= WORKLOAD.keys()


def test_cost_of_a_process() -> None:
    """What this one spends is counted."""
    before = cpu_seconds(os.getpid())
    start = time.thread_time()
    while time.thread_time() - start < 0.05:
        pass
    assert 0.04 < cpu_seconds(os.getpid()) - before < 5
    assert resident_bytes(os.getpid()) > 1_000_000


def test_server_is_started_on_its_cpu_and_ended(tmp_path: Path) -> None:
    """It says its port, runs where it should, and is over afterwards; our own CPUs are as before."""
    ours = os.sched_getaffinity(0)
    program = "import time; print('port 7', flush=True); time.sleep(60)"
    server = Server("sleeper", lambda kind, folder: [sys.executable, "-c", program])
    with running(server, "tcp", tmp_path, tmp_path / "log") as up:
        assert up.port == 7
        assert os.sched_getaffinity(up.pid) == {SERVER_CPU}
        assert os.sched_getaffinity(0) == ours
    with pytest.raises(ProcessLookupError):
        os.kill(up.pid, 0)


def test_server_that_says_no_port(tmp_path: Path) -> None:
    """One that ends is not waited for."""
    server = Server("mute", lambda kind, folder: [sys.executable, "-c", ""])
    with (
        pytest.raises(DidNotStart, match="did not say where it listens"),
        running(server, "tcp", tmp_path, tmp_path / "log"),
    ):
        pass


def test_children_end_with_a_server(tmp_path: Path) -> None:
    """The group ends with its leader."""
    program = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    with server_process([sys.executable, "-c", program], tmp_path / "log") as process:
        deadline = time.monotonic() + 10
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (child := children.read_text(encoding="ascii").strip()) and time.monotonic() < deadline:
            time.sleep(0.01)
    status = Path(f"/proc/{child}/status")
    deadline = time.monotonic() + 10
    while status.exists() and "State:\tZ" not in status.read_text(encoding="ascii") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child
    assert not status.exists() or "State:\tZ" in status.read_text(encoding="ascii")
