"""Run every demonstration of demos/, and check its results."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echotime.demos import accepting, closing, dead_peers, headers, ports, reach
from echotime.demos.index import DEMONSTRATIONS, TOPICS
from echotime.demos.script import MISTAKE, Demonstration, Entry, Section, Skipped, Step
from echotime.sockopt.catalogue.index import BY_NAME
from tests.support.twistd_process import LIMIT

ROOT = Path(__file__).parents[2]
ALL: list[Demonstration] = list(
    dict.fromkeys([*DEMONSTRATIONS.values(), *(topic.demonstration for topic in TOPICS.values())])
)
REQUIRED = {
    *("SO_REUSEADDR", "SO_KEEPALIVE", "SO_OOBINLINE", "SO_BROADCAST", "SO_DONTROUTE", "SO_BINDTODEVICE", "SO_LINGER"),
    *("TCP_NODELAY", "SO_RCVBUF", "TCP_DEFER_ACCEPT", "IP_TOS", "SO_REUSEPORT", "IP_PKTINFO", "TCP_USER_TIMEOUT"),
}


def name_of(demonstration: Demonstration) -> str:
    """Return the name of its function."""
    return str(getattr(demonstration, "__name__", demonstration))


def steps(lines: list[Entry]) -> list[Step]:
    """Return the steps of a demonstration."""
    return [line for line in lines if isinstance(line, Step)]


@pytest.mark.parametrize("demonstration", ALL, ids=name_of)
def test_as_described(demonstration: Demonstration) -> None:
    """A demonstration shows a contrast, every step has the expected result, and it ends soon."""
    started_at = time.monotonic()
    lines = list(demonstration())
    elapsed = time.monotonic() - started_at
    assert [step for step in steps(lines) if not step.as_expected] == []
    claims = [step for step in steps(lines) if step.expected]
    assert len(claims) > 1
    assert len({step.result for step in claims}) > 1, "equal results show no contrast"
    assert isinstance(lines[0], Section | Skipped)
    assert all(len(step.call) < 53 and len(step.actor) < 11 for step in steps(lines)), "must fit the columns"
    assert elapsed < LIMIT, "bounded, also on a busy machine"


def test_index() -> None:
    """Every required demonstration exists, and every name is that of an option."""
    assert REQUIRED <= DEMONSTRATIONS.keys() <= BY_NAME.keys()
    assert TOPICS.keys() == {"backlog", "server", "client"}


def results(demonstration: Demonstration, call: str) -> list[str]:
    """Return the results of the steps whose text contains `call`."""
    return [step.result for step in steps(list(demonstration())) if call in step.call]


def test_urgent_byte() -> None:
    """Without SO_OOBINLINE the urgent byte is missing from the stream."""
    assert results(DEMONSTRATIONS["SO_OOBINLINE"], "until the end") == ["b'abcdef'", "b'abcXdef'"]


def test_time_wait() -> None:
    """SO_REUSEADDR allows bind over TIME_WAIT if both set it, never two listeners, and a takeover on UDP."""
    assert results(ports.reuse_address, "bind") == [
        *("EADDRINUSE", "EADDRINUSE", "ok"),
        "EADDRINUSE",
        *("EADDRINUSE", "ok"),
    ]
    assert results(ports.reuse_address, "recv") == ["b'hello'", "nothing"]


def test_dead_peer() -> None:
    """Only SO_KEEPALIVE detects the dead peer."""
    with_it, without = results(dead_peers.keepalive, "recv")
    assert with_it.startswith("Connection timed out (ETIMEDOUT) after ")
    assert without == "nothing"


def test_linger() -> None:
    """With {1, 0} the client gets a reset after the data; with {1, 1} close waits, and nothing is lost."""
    ran = steps(list(closing.linger()))
    received = [step.result for step in ran if "recv(100)" in step.call]
    assert received == ["b'goodbye'", "b''", "b'goodbye'", "ECONNRESET"]
    at_once, waited = (float(step.result.split()[2]) for step in ran if step.call.startswith("close()"))
    assert at_once < 0.9 <= waited
    assert [step.result for step in ran if "bytes lost" in step.call] == ["0", "0"]


@pytest.mark.parametrize("name", ["server", "client"])
def test_mistakes(name: str) -> None:
    """A line without an actor names the step that is left out, or the mistake."""
    calls = [step.call for step in steps(list(TOPICS[name].demonstration())) if step.actor == MISTAKE]
    assert len(calls) > 4
    assert [call for call in calls if not re.match(r"without [a-z' ]+: [a-z]|mistake: [a-z]", call)] == []


def test_broadcast() -> None:
    """Without SO_BROADCAST sending fails with EACCES."""
    assert results(reach.broadcast, "sendto") == ["EACCES", "5"]


def test_queue() -> None:
    """The accept queue holds one more than the backlog, and listen changes its limit."""
    queues = results(accepting.backlog, "TCP_INFO of")
    assert queues == ["3 pending, limit 2", "3 pending, limit 4", "2 pending, limit 4"]


def test_pktinfo() -> None:
    """The answer arrives only with IP_PKTINFO."""
    assert results(headers.packet_info, "recv(") == ["nothing", "b'now'"]


def test_a_host_that_differs() -> None:
    """A step with another result than expected is detected."""
    assert not Step("server", "bind", "ok", expected="EADDRINUSE").as_expected
    assert Step("server", "bind", "ok").as_expected


def run_in_child(code: str, *, unshare: bool) -> list[str]:
    """Run Python code in a child process, with `unshare` in a network namespace with loopback only."""
    command = [sys.executable, "-c", code]
    if unshare:
        command = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    found: list[str] = json.loads(completed.stdout)
    return found


WITHOUT_ROUTE = """
import json
from echotime.demos import reach
from echotime.demos.script import Skipped, Step
lines = [*reach.dont_route(), *reach.bind_to_device()]
print(json.dumps([line.reason for line in lines if isinstance(line, Skipped)]
                 + [f"{line} differs" for line in lines if isinstance(line, Step) and not line.as_expected]))
"""
# gettext imports locale late, when Python's own directory may be out of reach
UNPRIVILEGED = """
import json, locale, os
from echotime.demos import reach, ports, index
os.geteuid() or os.setuid(65534)
cleared = [line for line in reach.bind_to_device() if "''" in getattr(line, "call", "")]
lines = [line for each in {*index.DEMONSTRATIONS.values()} for line in each()]
print(json.dumps([line.result + " " + line.remark for line in cleared]
                 + [str(line) for line in lines if not getattr(line, "as_expected", True)]))
"""


def test_nothing_but_loopback() -> None:
    """Without a route and without another interface two parts are skipped, and every other step is as expected."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("needs root, unshare and ip to make a network without routes")
    reasons = run_in_child(WITHOUT_ROUTE, unshare=True)
    assert [" ".join(reason.split()[:4]) for reason in reasons] == ["this host has no", "there is no interface"]


def test_without_privileges() -> None:
    """Without privileges every step is as expected; only clearing a device is refused."""
    assert run_in_child(UNPRIVILEGED, unshare=False) == ["EPERM this needs CAP_NET_RAW, which this process lacks"]
