"""Demonstrate SO_RCVBUF: the effective size, and how many datagrams fit."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

from echotime.demos.script import CLIENT, SERVER, Entry, Section, Skipped, Step, expect, result_of
from echotime.i18n.language import gettext as _
from echotime.sockopt.meminfo import dropped_datagrams
from echotime.sockopt.scratch import Scratch
from echotime.sockopt.values import N_

_DATAGRAMS = 100


def receive_buffer() -> Iterator[Entry]:
    """Show how the kernel doubles and limits SO_RCVBUF, and how many datagrams fit."""
    try:
        upper_limit = 2 * int(Path("/proc/sys/net/core/rmem_max").read_bytes())
    except OSError:
        yield Skipped(N_("net.core.rmem_max cannot be read here, so the upper limit is unknown"))
        upper_limit = 0
    yield Section(N_("requested size, and the size that getsockopt returns"))
    with Scratch() as scratch:
        sock = scratch.open("udp")
        for size, expected, remark in (
            (65536, "131072", N_("doubled: the kernel's own overhead is part of it")),
            (1, "2304", N_("the minimum size")),
            (2**30, str(upper_limit), N_("the maximum is twice net.core.rmem_max")),
        ):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            result = str(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
            # the minimum size depends on the kernel
            ok = result == expected or (size == 1 and int(result) > size) or (size == 2**30 and not upper_limit)
            text = f"setsockopt(SO_RCVBUF, {size}), getsockopt"
            yield Step(SERVER, text, result, remark, expect(result, ok, expected))
    title = _("{count} unread datagrams of 1 byte, in a buffer of 4096 x 2 bytes")
    yield Section(title.format(count=_DATAGRAMS))
    with Scratch() as scratch:
        yield from _fill_buffer(scratch)


def _fill_buffer(scratch: Scratch) -> Iterator[Entry]:
    server = scratch.open("udp")
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client = scratch.connected_client(scratch.bind(server))
    for _number in range(_DATAGRAMS):
        client.send(b"x")
    yield Step(CLIENT, _("send(b'x'), {count} times").format(count=_DATAGRAMS), "ok")
    drops = dropped_datagrams(server)
    server.setblocking(False)
    kept = sum(result_of(server.recv, 1) == "b'x'" for _number in range(_DATAGRAMS))
    result = _("{kept} kept, {drops} dropped").format(kept=kept, drops=drops)
    ok = 0 < kept < _DATAGRAMS // 2 and kept + drops == _DATAGRAMS
    remark = N_("a datagram of any length takes hundreds of bytes of the buffer")
    text = N_("recv until the buffer is empty; SO_MEMINFO")
    yield Step(SERVER, text, result, remark, expect(result, ok, N_("a few kept")))
