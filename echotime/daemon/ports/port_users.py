"""Find in /proc/net which sockets use a port that cannot be bound. See proc(5) and linux/tcp_states.h."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from echotime.wire.hostport import HostPort

_TIME_WAIT, _LISTEN = 6, 10


class _Socket(NamedTuple):
    state: int
    timer: float
    """Seconds until the kernel's timer of the socket expires. In TIME_WAIT it then frees the port."""
    inode: str


def describe_port_users(transport: str, port: int) -> str:
    """Return what uses a local port of "tcp" or "udp", and for how long. `ss` without -a shows a part of it only."""
    find = f"find it: ss -antup 'sport = :{port}'"
    # without IPv6 there is one table, and without /proc none
    tables = [path for name in (transport, f"{transport}6") if (path := Path("/proc/net", name)).exists()]
    sockets = [each for path in tables for each in _read_sockets(path, port)]
    # a UDP socket holds its port in whatever state it is
    holders = {each.inode for each in sockets if transport == "udp" or each.state == _LISTEN}
    own = _own_addresses(holders)
    if own and own.keys() == holders:
        return f"this daemon itself serves {transport.upper()} {', '.join(map(str, own.values()))}"
    if transport == "udp" or not tables or holders:
        return f"another socket holds the port; {find}"
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
            # retrnsmt uid timeout inode ...
            _number, local, _remote, state, _queues, timer, *_rest, inode = line.split(maxsplit=10)[:10]
            if int(local.rpartition(":")[2], 16) == port:
                ticks = int(timer.partition(":")[2], 16)
                yield _Socket(int(state, 16), ticks / os.sysconf("SC_CLK_TCK"), inode)


def _own_addresses(inodes: set[str]) -> dict[str, HostPort]:
    """Return the addresses of those sockets that are open in this process, by inode."""
    by_link = {f"socket:[{each}]": each for each in inodes}
    found = {}
    # a list, because the iteration has a descriptor of its own
    for each in list(Path("/proc/self/fd").iterdir()) if inodes else ():
        with suppress(OSError):
            if inode := by_link.get(str(each.readlink())):
                with socket.socket(fileno=os.dup(int(each.name))) as sock:
                    found[inode] = HostPort.from_sockaddr(sock.getsockname())
    return found
