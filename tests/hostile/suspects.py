"""Send what looks like an answer from countless sources, each of which the loop guard remembers."""

from __future__ import annotations

import struct
import time

from tests.hostile.forging import Address, forge, raw_socket
from tests.support.plain_clients import ask_time

_BURST = 50
"""Datagrams between two honest requests, few enough not to fill the receive buffer."""


def send_answers(to: Address, number: int, network: int) -> None:
    """Send from `number` addresses of the network 127.`network`.0.0. Raises PermissionError without CAP_NET_RAW."""
    answer = struct.pack("!I", int(time.time()))
    with raw_socket() as raw:
        for each in range(number):
            source = f"127.{network}.{each >> 8 & 255}.{each & 255}", 2000 + each % 60_000
            forge(source, to, answer, by=raw)
            if each % _BURST == 0:
                ask_time(to)
