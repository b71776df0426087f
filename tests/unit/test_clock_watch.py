"""Test daemon/clock_watch.py: the state of the clock, and silence while it is unsynchronized."""

from __future__ import annotations

import ctypes
import errno
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from echotime.counters import ServiceCounters
from echotime.daemon import adjtimex
from echotime.daemon.clock_watch import ClockState, SyncMonitor, read_adjtimex
from echotime.net.pktinfo import SourceAddress
from echotime.services.datagram_policy import DatagramPolicy
from echotime.services.udp_time import TimeProtocol

PROGRAM = r"""
#include <stdio.h>
#include <stddef.h>
#include <sys/timex.h>
int main(void)
{
    struct timex t = {0};
    int state = adjtimex(&t);
    printf("%zu %zu %zu %d %d %d %ld\n", sizeof t, offsetof(struct timex, maxerror), offsetof(struct timex, status),
           STA_UNSYNC, state, t.status & STA_UNSYNC, t.maxerror);
}
"""


def test_structure(tmp_path: Path) -> None:
    """Sizes, offsets and values of the structure are those of the system's headers."""
    if not (compiler := shutil.which("cc") or shutil.which("gcc")):
        pytest.skip("a C compiler is needed to know the system's structure")
    source, program = tmp_path / "timex.c", tmp_path / "timex"
    source.write_text(PROGRAM, encoding="ascii")
    subprocess.run([compiler, "-o", program, source], capture_output=True, check=True)
    values = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    size, maxerror, status, bit, _, unsynchronized, most = map(int, values)
    timex = adjtimex.Timex
    assert ctypes.sizeof(timex) >= size, "too small for what the kernel writes"
    assert (timex.maxerror.offset, timex.status.offset) == (maxerror, status)
    assert bit == adjtimex.STA_UNSYNC
    found = read_adjtimex()
    assert found.synchronized == (not unsynchronized)
    assert abs(found.max_error * 1e6 - most) <= 10_000, "the error grows by 500 us a second"


@pytest.mark.parametrize(
    ("status", "result", "shown"),
    [
        (0x2001, 0, "synchronized, maximum error 0.012 s"),
        (0x0040, 5, "not synchronized"),
        (0, -1, "unknown: Operation not permitted, because of a system call filter (ProtectClock= of systemd)"),
    ],
)
def test_states(monkeypatch: pytest.MonkeyPatch, status: int, result: int, shown: str) -> None:
    """Each state of the kernel is shown, and a denied system call as unknown."""

    class Library:
        def __init__(self, *args: Any, **named: Any) -> None:
            pass

        def adjtimex(self, found: Any) -> int:
            found._obj.status, found._obj.maxerror = status, 12_000
            ctypes.set_errno(errno.EPERM)
            return result

    monkeypatch.setattr(ctypes, "CDLL", Library)
    assert str(read_adjtimex()) == shown


def test_silence() -> None:
    """With an unsynchronized or unknown clock datagrams are dropped and counted, until it is synchronized."""
    clock, counters = Clock(), ServiceCounters()
    sent: list[bytes] = []

    class Transport:
        def write(self, datagram: bytes, address: object) -> None:
            sent.append(datagram)

    protocol = TimeProtocol(lambda: 7, counters)
    protocol.transport = Transport()  # type: ignore[assignment]  # all that is used of one
    state = ClockState(False)
    watch = SyncMonitor(lambda: [protocol.policy], clock, lambda: state)
    watch.startService()
    for now, silent in (
        (ClockState(False), True),
        (ClockState(True, 0.1), False),
        (ClockState(None, reason="why"), True),
        (ClockState(True, 0.1), False),
    ):
        state = now
        clock.advance(1)
        sent.clear()
        assert protocol.policy.one_by_one == silent
        protocol.datagramReceived(b"", SourceAddress(("192.0.2.1", 2000)))
        assert sent == ([] if silent else [b"\0\0\0\7"])
    assert (counters.refused_unsynced, counters.datagrams) == (2, 2)
    watch.stopService()
    assert clock.getDelayedCalls() == []


def test_without_udp() -> None:
    """Without a UDP listener nothing is suspended, and the log says so only once there is one."""
    clock, policies = Clock(), list[DatagramPolicy]()
    watch = SyncMonitor(lambda: policies, clock, lambda: ClockState(False))
    with capturedLogs() as events:
        watch.startService()
        clock.advance(1)
        assert events == []
        policies.append(TimeProtocol(lambda: 7, ServiceCounters()).policy)
        clock.advance(2)
    assert policies[0].one_by_one
    assert [formatEvent(each) for each in events] == ["clock: not synchronized; UDP replies are suspended"]
    watch.stopService()
