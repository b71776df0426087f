"""Find in /proc/net which sockets use a port that cannot be bound. See proc(5) and linux/tcp_states.h."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TIME_WAIT, _LISTEN = 6, 10


class _Socket(NamedTuple):
    state: int
    timer: float
    """Seconds until the kernel's timer of the socket expires. In TIME_WAIT it then frees the port."""


def describe_port_users(transport: str, port: int) -> str:
    """Return what uses a local port of "tcp" or "udp", and for how long. `ss` without -a shows a part of it only."""
    find = f"find it: ss -antup 'sport = :{port}'"
    held = f"another socket holds the port; {find}"
    if transport == "udp":
        return held  # whatever state that socket is in
    # without IPv6 there is one table, and without /proc none
    tables = [path for name in ("tcp", "tcp6") if (path := Path("/proc/net", name)).exists()]
    sockets = [each for path in tables for each in _read_sockets(path, port)]
    if not tables or any(each.state == _LISTEN for each in sockets):
        return held
    waiting = [each.timer for each in sockets if each.state == _TIME_WAIT]
    if open_connections := len(sockets) - len(waiting):
        return f"open connections have this local port, until they end: {open_connections}; {find}"
    if waiting:
        return (
            f"closed connections have this local port, in TIME_WAIT for {max(waiting):.0f} s more: "
            f"{len(waiting)}; {find}"
        )
    return "another socket is bound to the port, and does not listen"


def _read_sockets(path: Path, port: int) -> Iterator[_Socket]:
    with path.open(encoding="ascii") as table:
        next(table)
        for line in table:
            # sl local_address rem_address st tx_queue:rx_queue tr:tm->when ...
            _number, local, _remote, state, _queues, timer = line.split(maxsplit=6)[:6]
            if int(local.rpartition(":")[2], 16) == port:
                ticks = int(timer.partition(":")[2], 16)
                yield _Socket(int(state, 16), ticks / os.sysconf("SC_CLK_TCK"))
