"""List the workloads: the load of each, its number of connections, and the work that is counted.

The requests of udp-32 are more than a receive buffer of the default size holds: see load/udp.c for the effect.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """Describe the work that every server does.

    `load` names the program, which interprets `number`; tables show work divided by `scale`.
    """

    name: str
    kind: str
    load: str
    number: int
    unit: str
    what: str
    scale: float = 1000
    has_latency: bool = True
    idles: bool = False


WORKLOADS = (
    Workload("echo-1", "tcp", "echo", 1, "k echoes", "100 bytes there and back, on one connection"),
    Workload("echo-50", "tcp", "echo", 50, "k echoes", "the same on 50 connections at once"),
    Workload("echo-500", "tcp", "echo", 500, "k echoes", "the same on 500 connections at once"),
    Workload(
        "stream-64k", "tcp", "stream", 8, "MB", "64 KB blocks on 8 connections, read meanwhile", 1, has_latency=False
    ),
    Workload(
        "sessions", "tcp", "sessions", 20, "k sessions", "connect, send, shut down, read to the end; 20 at a time"
    ),
    Workload("udp-1", "udp", "udp", 1, "k answers", "datagrams from 8 sockets, one outstanding on each"),
    Workload("udp-32", "udp", "udp", 32, "k answers", "datagrams from 8 sockets, 32 outstanding on each"),
    Workload("idle-10000", "tcp", "echo", 10_000, "KB", "10000 idle connections", has_latency=False, idles=True),
)
