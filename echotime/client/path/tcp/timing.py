"""Let the server send one byte each 10 ms, and see if the bytes arrive one by one or in lumps.

Only a queue can make lumps of single bytes. A server that is late sends fewer bytes, not several at once, and this
host's own lateness is measured meanwhile.
"""

from __future__ import annotations

import socket
import statistics
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.route import SECONDS, Route, token
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_GAP = 0.01
_SIZE = 40
_LUMP_BYTES, _LUMP_SECONDS = 2, 0.03
"""A lump has at least so many bytes, and comes so long after the one before it: a delayed ACK is 40 ms or more."""
_LUMPED_SHARE = 0.8
"""Share of bytes in lumps from which they are no accident."""
_SAME_ARRIVAL = 0.002
"""Seconds within which reads belong to one arrival."""
_MAX_LATENESS = 0.5
"""Share of the time between lumps: if this host was that late itself, the lumps say nothing about the path."""


def judge(arrivals: Sequence[tuple[float, int]], lateness: Sequence[float]) -> Outcome:
    """Return a finding if nearly all bytes arrived in lumps. `lateness` has that of this host's timers."""
    lumps = merge(arrivals)
    total = sum(size for _at, size in lumps)
    if total < _SIZE or len(lumps) < _LUMP_BYTES:
        return Outcome(untested=_("the server did not send byte by byte"))
    gaps = [after - before for (before, _size), (after, _next) in pairwise(lumps)]
    typical = statistics.median(gaps)
    lumped = sum(
        size for gap, (_at, size) in zip(gaps, lumps[1:], strict=True) if size >= _LUMP_BYTES and gap >= _LUMP_SECONDS
    )
    share = lumped / (total - lumps[0][1])
    if share >= _LUMPED_SHARE and typical >= _LUMP_SECONDS:
        if not lateness or max(lateness) > typical * _MAX_LATENESS:
            return Outcome(untested=_("this host is too busy to judge times"))
        seen = _("{total} bytes, one sent every {gap:.0f} ms, arrived in {lumps} lumps, {ms:.0f} ms apart").format(
            total=total, gap=_GAP * 1000, lumps=len(lumps), ms=typical * 1000
        )
        return Outcome(
            findings=(Finding("data-in-lumps", seen, {"bytes": total, "lumps": len(lumps), "seconds": typical}),)
        )
    return Outcome(_("{total} bytes arrived one by one").format(total=total))


def merge(arrivals: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Return the arrivals with those joined that follow at once."""
    merged: list[tuple[float, int]] = []
    for at, size in arrivals:
        if merged and at - merged[-1][0] < _SAME_ARRIVAL:
            merged[-1] = (merged[-1][0], merged[-1][1] + size)
        else:
            merged.append((at, size))
    return merged


class _Lateness:
    """Measure how late the reactor's timers are."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.measured: list[float] = []
        self._start()

    def _start(self) -> None:
        self._due = self._reactor.seconds() + _GAP
        self._timer = self._reactor.callLater(_GAP, self._fire)

    def _fire(self) -> None:
        self.measured.append(self._reactor.seconds() - self._due)
        self._start()

    def stop(self) -> None:
        self._timer.cancel()


class TimingExperiment:
    """Send 40 bytes at once, whose answer comes byte by byte."""

    name = N_("timing")
    needs_behavior = True
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        data = (token() * _SIZE)[:_SIZE]
        stream = await route.open("trickle", gap=_GAP)
        lateness = _Lateness(route.reactor)
        try:
            await stream.send(data, SECONDS)
            answered = route.answered(stream, data)
            deadline = stream.seconds() + 2 * SECONDS
            while not answered() and stream.end is None and stream.seconds() < deadline:
                count = len(stream.arrivals)
                # delay ACKs, for which Nagle's algorithm waits; the kernel returns to quick ones after each
                stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
                if not await stream.read_until(lambda: len(stream.arrivals) > count, SECONDS):  # noqa: B023
                    break
        finally:
            lateness.stop()
            stream.close()
        return judge(stream.arrivals, lateness.measured)
