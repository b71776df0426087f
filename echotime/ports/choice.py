"""Which classes serve: the fast ones where this system has what they take, or those on Twisted's own transports."""

from __future__ import annotations

import select

from echotime.ports import mmsg
from echotime.ports.batched import BatchedPort
from echotime.ports.stock import StockPort
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort


def tcp_port(*, fast: bool) -> type[EchoPort]:
    """What listens for connections."""
    if fast and hasattr(select, "epoll"):
        from echotime.ports.polled import PolledPort

        return PolledPort
    return StockPort


def udp_port(*, fast: bool) -> type[TimePort]:
    """What takes datagrams; fast needs a protocol that provides IOneAnswer."""
    return BatchedPort if fast and mmsg.available() else TimePort
