"""Load both services during restarts, and check each answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tests.support.plain_clients import ACKNOWLEDGEMENT, ask_time, one_shot
from tests.systemd.units import ADDRESS, LIMIT

_MANY = 200


class Load:
    """Send requests to both services one after the other, and check each answer."""

    def __init__(self) -> None:
        self.done = {"connections": 0, "datagrams": 0}
        self.faults: list[str] = []
        self._over = threading.Event()
        work = (self._connection, self._connection, self._datagram)
        self._threads = [threading.Thread(target=self._repeat, args=(each,)) for each in work]

    def __enter__(self) -> Load:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(LIMIT)

    def goes_on(self) -> None:
        """Wait until many more requests of both kinds were answered, or one failed."""
        before = dict(self.done)
        deadline = time.monotonic() + LIMIT
        while not self.faults and any(self.done[kind] < before[kind] + _MANY for kind in before):
            assert time.monotonic() < deadline, self.done
            self._over.wait(0.01)

    def _repeat(self, work: Callable[[], None]) -> None:
        try:
            while not self._over.is_set():
                work()
        except Exception as error:
            self.faults.append(repr(error))

    def _connection(self) -> None:
        answer = one_shot(ADDRESS, b"hi")
        assert answer == b"hi" + ACKNOWLEDGEMENT, answer
        self.done["connections"] += 1

    def _datagram(self) -> None:
        assert len(ask_time(ADDRESS)) == 4
        self.done["datagrams"] += 1
