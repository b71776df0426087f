"""Test the benchmarks without a measurement: figures, bars, tables, the cost of a process, its start and its end."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.bars import BARS, judged
from benchmarks.measure import cpu_seconds, resident_bytes
from benchmarks.processes import LOAD_CPU, SERVER_CPU, server_process
from benchmarks.report import text
from benchmarks.results import Outcome, Results
from benchmarks.rounds import Bench
from benchmarks.servers import SERVERS, DidNotStart, Server, chosen, running
from benchmarks.workloads import WORKLOADS, Workload
from tests.support.twistd_process import LIMIT

SERVER = {each.name: each for each in SERVERS}
WORKLOAD = {each.name: each for each in WORKLOADS}


def rounds(*per_cpu_second: float) -> list[dict[str, float]]:
    """Return the figures of rounds that differ in the work alone."""
    return [
        {"per_cpu_second": each, "busiest_share": 0.625, "p50": 10, "p99": 20, "p999": 30} for each in per_cpu_second
    ]


def made_up(workload: str, failures: dict[str, str] | None = None, **servers: list[dict[str, float]]) -> Outcome:
    """Return an outcome with these rounds; an underscore stands for the hyphen in a name."""
    return Outcome(WORKLOAD[workload], {name.replace("_", "-"): each for name, each in servers.items()}, failures or {})


def run_of(*outcomes: Outcome) -> Results:
    """Return the results of a run of every server except c."""
    servers = [each for each in SERVERS if each.name != "c"]
    return Results(3, 0.5, {"kernel": "6"}, servers, {"c": "no gcc: apt-get install gcc"}, outcomes)


@pytest.fixture
def results() -> Results:
    """Return a run of two servers at one workload, at which a third failed."""
    return run_of(
        made_up(
            "sessions",
            {"go": "it fell over"},
            echotime=rounds(9_000, 30_000, 20_000),
            uvloop=rounds(10_000, 60_000, 50_000),
            go=rounds(1),
        )
    )


def lines_of(results: Results) -> list[str]:
    """Return the lines of the tables without their alignment."""
    return [" ".join(line.split()) for line in text(results).splitlines()]


def test_medians(results: Results) -> None:
    """The median is that of the rounds; a server that failed or took no part has none."""
    (outcome,) = results.outcomes
    assert outcome.median("echotime", "per_cpu_second") == 20_000
    assert outcome.median("go", "per_cpu_second") is None
    assert outcome.median("c", "per_cpu_second") is None
    assert results.found("sessions", "echotime", "per_cpu_second") == [9_000, 30_000, 20_000]
    assert results.found("echo-1", "echotime", "per_cpu_second") == []
    assert results.failed


def test_ratio_compares_within_rounds() -> None:
    """A ratio is the median of those of the rounds, so a machine that is slow in some rounds does not change it."""
    outcome = made_up("echo-50", echotime=rounds(100, 10, 12), uvloop=rounds(50, 5, 30), go=rounds())
    assert outcome.ratio("echotime", "uvloop") == 2  # of 2, 2 and 0.4, where that of the medians is 0.4
    assert outcome.ratio("echotime", "go") is None
    assert outcome.ratio("echotime", "c") is None


def test_bar(results: Results) -> None:
    """A bar is judged by the ratio, and only where there is something to compare."""
    (bar,) = judged(results)
    assert (bar.demand, bar.found, bar.reached) == ("at least 0.95 of uvloop", 0.5, False)
    assert bar.margin == pytest.approx(-0.47, abs=0.01)
    assert (bar.least, bar.most) == (0.4, 0.9)


def test_bar_of_the_best() -> None:
    """The best of several is the server that echotime is least ahead of; a server that is missing is not named."""
    (bar,) = judged(run_of(made_up("udp-1", echotime=rounds(6, 6), uvloop=rounds(3, 3), go=rounds(5, 5))))
    assert (bar.demand, bar.found, bar.reached) == ("at least 1.00 of the best of uvloop, go", 1.2, True)
    assert bar.margin == pytest.approx(0.2)


def test_bar_of_memory() -> None:
    """An idle connection is judged by its memory."""
    idle = [{"rss_per_connection": 1024.0, "cpu_share": 0.0}]
    (bar,) = judged(run_of(made_up("idle-10000", echotime=idle)))
    assert (bar.demand, bar.found, bar.margin) == ("at most 2.00 KB a connection", 1.0, 0.5)


def test_tables(results: Results) -> None:
    """Every table has a row for each server."""
    lines = lines_of(results)
    assert "echotime 20.0" in lines
    assert "uvloop* 0.50" in lines
    assert "echotime 105%" in lines
    assert "uvloop* 10 / 20 / 30" in lines
    assert "sessions at least 0.95 of uvloop 0.50 0.40 to 0.90 missed by 47%" in lines


def test_missing_servers_are_in_the_last_lines(results: Results) -> None:
    """The run ends with what is missing in its tables and why, below the bars and the notes."""
    assert lines_of(results)[-6:] == [
        "",
        "NOT MEASURED, so missing in the tables and bars above:",
        "c: no gcc: apt-get install gcc",
        "",
        "FAILED, so missing in the tables and bars above:",
        "go at sessions: it fell over",
    ]


def test_nothing_missing() -> None:
    """A complete run prints no list of missing servers."""
    complete = Results(1, 0.5, {}, [SERVER["echotime"]], {}, [made_up("echo-1", echotime=rounds(1))])
    assert "missing" not in text(complete)


@pytest.mark.parametrize("name", ["go", "socat", "xinetd"])
def test_missing_program(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose program is missing is left out, and the reason says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    servers, left_out = chosen(["c", name], tmp_path)
    assert servers == [SERVER["c"]]
    package = {"go": "golang-go"}.get(name, name)
    assert left_out == {name: f"not installed: apt-get install {package}"}


def test_two_workers() -> None:
    """Two workers have a table with their work beside one and the share of the busier one, and a bar."""
    lines = lines_of(run_of(made_up("echo-50", echotime_x1=rounds(20, 10), echotime_x2=rounds(18, 9))))
    start = lines.index("Two workers on one socket, each on a CPU, compared with one; a load on each CPU")
    assert lines[start + 1 : start + 4] == [
        "echo-50",
        "work of two CPUs of two workers / of one CPU of one 1.80",
        "share of the busier worker in the CPU time 62%",
    ]
    assert "echo-50 echotime-x2: at least 0.95 of echotime-x1 0.90 0.90 to 0.90 missed by 5%" in lines


def test_json(results: Results) -> None:
    """The JSON has every round."""
    found = json.loads(json.dumps(results.as_json()))
    server = found["workloads"]["sessions"]["servers"]["echotime"]
    assert [each["per_cpu_second"] for each in server["rounds"]] == [9_000, 30_000, 20_000]
    assert server["median"]["per_cpu_second"] == 20_000


def test_names_are_known() -> None:
    """Bars and servers name workloads and servers that exist."""
    for bar in BARS:
        assert bar.workload in WORKLOAD
        assert set(bar.others) <= SERVER.keys()
    for server in SERVERS:
        assert server.leaves_out <= WORKLOAD.keys()


def test_cost_of_a_process() -> None:
    """The CPU time and memory of this process are counted."""
    before = cpu_seconds(os.getpid())
    start = time.thread_time()
    while time.thread_time() - start < 0.05:
        pass
    assert 0.04 < cpu_seconds(os.getpid()) - before < 5
    assert resident_bytes(os.getpid()) > 1_000_000


def test_server_is_started_on_its_cpu_and_ended(tmp_path: Path) -> None:
    """A server runs on its CPU and has ended afterwards. The CPUs of this process are as before."""
    ours = os.sched_getaffinity(0)
    program = "import time; print('port 7', flush=True); time.sleep(60)"
    server = Server("sleeper", lambda kind, folder: [sys.executable, "-c", program])
    with running(server, "tcp", tmp_path, tmp_path / "log") as up:
        assert up.port == 7
        assert os.sched_getaffinity(up.pids[0]) == {SERVER_CPU}
        assert os.sched_getaffinity(0) == ours
    with pytest.raises(ProcessLookupError):
        os.kill(up.pids[0], 0)


@pytest.mark.skipif(SERVER_CPU == LOAD_CPU, reason="two workers take two CPUs")
def test_two_workers_share_a_socket(tmp_path: Path) -> None:
    """Two workers, each on a CPU, accept from one socket, and have ended afterwards."""
    with running(SERVER["echotime-x2"], "tcp", tmp_path, tmp_path / "pair.log") as up, ExitStack() as stack:
        for _ in range(50):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", up.port), timeout=60))
            sock.sendall(b"?")
            assert sock.recv(1) == b"?"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
        ours: dict[str, set[str]] = {row[3]: set() for row in rows}
        for row in rows:
            if row[1].endswith(f":{up.port:04X}"):
                ours[row[3]].add(f"socket:[{row[9]}]")
        first, second = ({str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()} for pid in up.pids)
        assert [os.sched_getaffinity(pid) for pid in up.pids] == [{SERVER_CPU}, {LOAD_CPU}]
    assert len(ours["0A"] & first & second) == 1, "one listener"
    assert len(ours["01"] & (first ^ second)) == 50
    for pid in up.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_order_is_reversed_in_every_other_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each server is measured once a round: first to last, then last to first."""
    order = []

    def measured(bench: Bench, workload: Workload, server: Server) -> dict[str, float]:
        order.append(server.name)
        return {}

    monkeypatch.setattr(Bench, "_idled", measured)
    servers = [SERVER[name] for name in ("echotime", "go", "c")]
    Bench(tmp_path, 0.1).measure(WORKLOAD["idle-10000"], servers, 3, print)
    assert order == ["echotime", "go", "c", "c", "go", "echotime", "echotime", "go", "c"]


def test_server_that_reports_no_port(tmp_path: Path) -> None:
    """A server that ended without a port is reported at once."""
    server = Server("mute", lambda kind, folder: [sys.executable, "-c", ""])
    with (
        pytest.raises(DidNotStart, match="did not report its port"),
        running(server, "tcp", tmp_path, tmp_path / "log"),
    ):
        pass


def test_children_end_with_a_server(tmp_path: Path) -> None:
    """The process group ends with its leader."""
    program = "import subprocess, sys, time; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    with server_process([sys.executable, "-c", program], tmp_path / "log") as process:
        deadline = time.monotonic() + LIMIT
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not (child := children.read_text(encoding="ascii").strip()) and time.monotonic() < deadline:
            time.sleep(0.01)
    status = Path(f"/proc/{child}/status")
    deadline = time.monotonic() + LIMIT
    while status.exists() and "State:\tZ" not in status.read_text(encoding="ascii") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert child
    assert not status.exists() or "State:\tZ" in status.read_text(encoding="ascii")
