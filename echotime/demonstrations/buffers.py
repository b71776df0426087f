"""What a buffer size really buys: SO_RCVBUF."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from echotime.demonstrations.script import CLIENT, SERVER, Act, Line, Phase, Unshown, judged, outcome
from echotime.sockopt.scratch import Scratch

_SO_MEMINFO = 55
_DROPS = struct.Struct("=32xI")
_DATAGRAMS = 100


def receive_buffer() -> Iterator[Line]:
    """SO_RCVBUF: doubled, clamped, and what fits into it."""
    try:
        bound = 2 * int(Path("/proc/sys/net/core/rmem_max").read_bytes())
    except OSError:
        yield Unshown("net.core.rmem_max cannot be read here, so nothing is known of the upper bound")
        bound = 0
    yield Phase("asked, and what getsockopt says")
    with Scratch() as scratch:
        sock = scratch.open("udp")
        for asked, expected, remark in (
            (65536, "131072", "doubled: the kernel's own bookkeeping is paid from it"),
            (1, "2304", "never below its smallest size"),
            (2**30, str(bound), "never above twice net.core.rmem_max"),
        ):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, asked)
            result = str(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
            # the smallest size differs from one kernel to another
            well = result == expected or (asked == 1 and int(result) > asked) or (asked == 2**30 and not bound)
            yield Act(
                SERVER, f"setsockopt(SO_RCVBUF, {asked}), getsockopt", result, remark, judged(result, well, expected)
            )
    yield Phase(f"{_DATAGRAMS} datagrams of 1 byte, which nobody reads yet, into 4096 x 2 bytes")
    with Scratch() as scratch:
        yield from _full(scratch)


def _full(scratch: Scratch) -> Iterator[Line]:
    server = scratch.open("udp")
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = scratch.client(scratch.bind(server))
    for _ in range(_DATAGRAMS):
        client.send(b"x")
    yield Act(CLIENT, f"send(b'x'), {_DATAGRAMS} times", "ok")
    (drops,) = _DROPS.unpack(server.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _DROPS.size))
    server.setblocking(False)
    kept = sum(outcome(server.recv, 1) == "b'x'" for _ in range(_DATAGRAMS))
    result = f"{kept} kept, {drops} dropped"
    well = 0 < kept < _DATAGRAMS // 2 and kept + drops == _DATAGRAMS
    yield Act(
        SERVER,
        "recv until nothing is left; SO_MEMINFO",
        result,
        "a datagram takes hundreds of bytes of it, whatever its length",
        judged(result, well, "a few kept"),
    )
