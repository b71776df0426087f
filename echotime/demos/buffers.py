"""What a buffer size really buys: SO_RCVBUF."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Skipped, Step, expect, result_of
from echotime.sockopt.scratch import Scratch

_SO_MEMINFO = 55
_DROPS = struct.Struct("=32xI")
_DATAGRAMS = 100


def receive_buffer() -> Iterator[Entry]:
    """SO_RCVBUF: doubled, clamped, and what fits into it."""
    try:
        upper_bound = 2 * int(Path("/proc/sys/net/core/rmem_max").read_bytes())
    except OSError:
        yield Skipped("net.core.rmem_max cannot be read here, so nothing is known of the upper bound")
        upper_bound = 0
    yield Section("asked, and what getsockopt says")
    with Scratch() as scratch:
        sock = scratch.open("udp")
        for size, expected, remark in (
            (65536, "131072", "doubled: the kernel's own bookkeeping is paid from it"),
            (1, "2304", "never below its smallest size"),
            (2**30, str(upper_bound), "never above twice net.core.rmem_max"),
        ):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            result = str(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
            # the smallest size differs from one kernel to another
            ok = result == expected or (size == 1 and int(result) > size) or (size == 2**30 and not upper_bound)
            yield Step(
                SERVER, f"setsockopt(SO_RCVBUF, {size}), getsockopt", result, remark, expect(result, ok, expected)
            )
    yield Section(f"{_DATAGRAMS} datagrams of 1 byte, which nobody reads yet, into 4096 x 2 bytes")
    with Scratch() as scratch:
        yield from _fill_buffer(scratch)


def _fill_buffer(scratch: Scratch) -> Iterator[Entry]:
    server = scratch.open("udp")
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = scratch.connected_client(scratch.bind(server))
    for _ in range(_DATAGRAMS):
        client.send(b"x")
    yield Step(CLIENT, f"send(b'x'), {_DATAGRAMS} times", "ok")
    (drops,) = _DROPS.unpack(server.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _DROPS.size))
    server.setblocking(False)
    kept = sum(result_of(server.recv, 1) == "b'x'" for _ in range(_DATAGRAMS))
    result = f"{kept} kept, {drops} dropped"
    ok = 0 < kept < _DATAGRAMS // 2 and kept + drops == _DATAGRAMS
    yield Step(
        SERVER,
        "recv until nothing is left; SO_MEMINFO",
        result,
        "a datagram takes hundreds of bytes of it, whatever its length",
        expect(result, ok, "a few kept"),
    )
