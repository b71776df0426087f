"""Test demos/: each demonstration runs, has the described results, and shows its point."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echotime.demos import accepting, dead_peers, headers, ports, reach
from echotime.demos.index import DEMONSTRATIONS, TOPICS
from echotime.demos.script import Demonstration, Entry, Section, Skipped, Step
from echotime.sockopt.catalogue.index import BY_NAME

ROOT = Path(__file__).parents[2]
ALL: list[Demonstration] = list(
    dict.fromkeys([*DEMONSTRATIONS.values(), *(topic.demonstration for topic in TOPICS.values())])
)
ASKED_FOR = {
    *("SO_REUSEADDR", "SO_KEEPALIVE", "SO_OOBINLINE", "SO_BROADCAST", "SO_DONTROUTE", "SO_BINDTODEVICE", "SO_LINGER"),
    *("TCP_NODELAY", "SO_RCVBUF", "TCP_DEFER_ACCEPT", "IP_TOS", "SO_REUSEPORT", "IP_PKTINFO", "TCP_USER_TIMEOUT"),
}


def name_of(demonstration: Demonstration) -> str:
    """Return the name of the demonstration's function."""
    return str(getattr(demonstration, "__name__", demonstration))


def acts(lines: list[Entry]) -> list[Step]:
    """Return the calls among the lines."""
    return [line for line in lines if isinstance(line, Step)]


@pytest.mark.parametrize("demonstration", ALL, ids=name_of)
def test_as_described(demonstration: Demonstration) -> None:
    """A demonstration shows a contrast, has the described results, and ends soon."""
    began = time.monotonic()
    lines = list(demonstration())
    took = time.monotonic() - began
    assert [act for act in acts(lines) if not act.as_expected] == []
    claims = [act for act in acts(lines) if act.expected]
    assert len(claims) > 1
    assert len({act.result for act in claims}) > 1, "no contrast"
    assert isinstance(lines[0], Section | Skipped)
    assert all(len(act.call) < 53 and len(act.actor) < 11 for act in acts(lines)), "columns"
    assert took < 10, "bounded, also on a machine that is busy"


def test_index() -> None:
    """Every required option has a demonstration, and each name is that of an option."""
    assert ASKED_FOR <= DEMONSTRATIONS.keys() <= BY_NAME.keys()
    assert TOPICS.keys() == {"backlog", "server", "client"}


def results(demonstration: Demonstration, call: str) -> list[str]:
    """Return the results of the calls whose text contains `call`."""
    return [act.result for act in acts(list(demonstration())) if call in act.call]


def test_urgent_byte() -> None:
    """Without SO_OOBINLINE the stream abcXdef is one byte short."""
    assert results(DEMONSTRATIONS["SO_OOBINLINE"], "until the end") == ["b'abcdef'", "b'abcXdef'"]


def test_time_wait() -> None:
    """SO_REUSEADDR allows bind over TIME_WAIT if both set it, not beside a listener, and on UDP it steals."""
    assert results(ports.reuse_address, "bind") == [
        *("EADDRINUSE", "EADDRINUSE", "ok"),
        "EADDRINUSE",
        *("EADDRINUSE", "ok"),
    ]
    assert results(ports.reuse_address, "recv") == ["b'hello'", "nothing"]


def test_dead_peer() -> None:
    """SO_KEEPALIVE notices a dead peer; without it a read waits on."""
    with_it, without = results(dead_peers.keepalive, "recv")
    assert with_it.startswith("ETIMEDOUT after ")
    assert without == "nothing"


def test_linger() -> None:
    """SO_LINGER {1, 0} delivers pending data, followed by a reset."""
    assert results(DEMONSTRATIONS["SO_LINGER"], "recv") == ["b'goodbye'", "b''", "b'goodbye'", "ECONNRESET"]


def test_broadcast() -> None:
    """Without SO_BROADCAST a broadcast fails with EACCES."""
    assert results(reach.broadcast, "sendto") == ["EACCES", "5"]


def test_queue() -> None:
    """The accept queue holds one connection more than the backlog, which listen changes again."""
    queues = results(accepting.backlog, "TCP_INFO of")
    assert queues == ["3 waiting, limit 2", "3 waiting, limit 4", "2 waiting, limit 4"]


def test_asked_address() -> None:
    """The answer arrives only with IP_PKTINFO."""
    assert results(headers.packet_info, "recv(") == ["nothing", "b'now'"]


def test_a_host_that_differs() -> None:
    """A result that differs from the expected one is noticed."""
    assert not Step("server", "bind", "ok", expected="EADDRINUSE").as_expected
    assert Step("server", "bind", "ok").as_expected


def alone(code: str, *, unshare: bool) -> list[str]:
    """Run a demonstration in its own process, without privileges or in its own network, and return its output."""
    command = [sys.executable, "-c", code]
    if unshare:
        command = ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=True)
    found: list[str] = json.loads(ended.stdout)
    return found


WITHOUT_ROUTE = """
import json
from echotime.demos import reach
from echotime.demos.script import Skipped, Step
lines = [*reach.dont_route(), *reach.bind_to_device()]
print(json.dumps([line.reason for line in lines if isinstance(line, Skipped)]
                 + [f"{line} differs" for line in lines if isinstance(line, Step) and not line.as_expected]))
"""
UNPRIVILEGED = """
import json, os
from echotime.demos import reach, ports, index
os.geteuid() or os.setuid(65534)
cleared = [line for line in reach.bind_to_device() if "''" in getattr(line, "call", "")]
lines = [line for each in {*index.DEMONSTRATIONS.values()} for line in each()]
print(json.dumps([line.result + " " + line.remark for line in cleared]
                 + [str(line) for line in lines if not getattr(line, "as_expected", True)]))
"""


def test_nothing_but_loopback() -> None:
    """A host without a route or another interface is reported, and all other results are as described."""
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("needs root, unshare and ip to make a network without routes")
    reasons = alone(WITHOUT_ROUTE, unshare=True)
    assert [" ".join(reason.split()[:4]) for reason in reasons] == ["this host has no", "there is no interface"]


def test_without_privileges() -> None:
    """Every demonstration works without privileges; only clearing a device is refused."""
    assert alone(UNPRIVILEGED, unshare=False) == ["EPERM this takes CAP_NET_RAW, which we lack"]
