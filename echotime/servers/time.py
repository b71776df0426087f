"""The UDP service: any datagram is answered with the time, four bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import DatagramProtocol

from echotime.servers.traffic import Counters
from echotime.wire import timestamp


class TimeProtocol(DatagramProtocol):
    """Answers whoever asks; `clock` gives the Unix time in seconds (time.time)."""

    noisy = False

    def __init__(
        self, clock: Callable[[], float], counters: Counters, epoch: timestamp.Epoch = timestamp.Epoch.UNIX
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._epoch = epoch

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer; what the datagram holds does not matter."""
        self._counters.datagrams += 1
        assert self.transport is not None
        self.transport.write(timestamp.pack(self._clock(), self._epoch), addr)
