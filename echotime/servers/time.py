"""The UDP service: any datagram is answered with the time, four bytes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.protocol import DatagramProtocol

from echotime.servers.access import Access
from echotime.servers.loop_guard import LoopGuard
from echotime.servers.own_questions import OwnQuestions, Source
from echotime.servers.traffic import Counters
from echotime.wire import timestamp


class TimeProtocol(DatagramProtocol):
    """Answers whom `access` admits; `clock` gives the Unix time in seconds (time.time)."""

    noisy = False
    apart = frozenset({timestamp.SIZE})
    """Lengths of datagrams to look at one by one (ports.one_answer.IOneAnswer): those of answers."""

    def __init__(
        self,
        clock: Callable[[], float],
        counters: Counters,
        epoch: timestamp.Epoch = timestamp.Epoch.UNIX,
        access: Access | None = None,
    ) -> None:
        self._clock = clock
        self._counters = counters
        self._epoch = epoch
        self._access = access or Access()
        self.all_apart = self._access.restricts
        """Whether every datagram has to be looked at."""
        self._guard = LoopGuard(clock)
        self.own = _OwnDatagrams(counters, self._guard)
        self._expected = self.own.expected

    @property
    def ports_apart(self) -> Collection[int]:
        """The ports of those that have sent what looks like answers, and of our own questions."""
        return self._guard.ports

    @property
    def handled(self) -> int:
        """How many datagrams were taken by all protocols that share the counters, answered or not."""
        counters = self._counters
        return counters.datagrams + counters.looping + counters.refused_datagrams

    def answer_to(self, number: int) -> bytes:
        """The answer to so many datagrams; what they hold does not matter."""
        self._counters.datagrams += number
        return timestamp.pack(self._clock(), self._epoch)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer one, unless its sender is not admitted, or it is to be ignored as a part of a loop."""
        assert self.transport is not None
        if self._expected and self.own.takes(addr[:2]):
            self.transport.write(timestamp.pack(self._clock(), self._epoch), addr)
        elif self._access.restricts and not self._access.admits(addr[0]):
            self._counters.refused_datagrams += 1
        elif self._guard.answers(datagram, addr[:2]):
            self.transport.write(self.answer_to(1), addr)
        else:
            self._counters.looping += 1


class _OwnDatagrams(OwnQuestions):
    """Has them looked at one by one."""

    def __init__(self, counters: Counters, guard: LoopGuard) -> None:
        super().__init__(counters)
        self._guard = guard

    def expect(self, source: Source) -> None:
        super().expect(source)
        self._guard.attend(source[1])

    def forget(self, source: Source) -> None:
        super().forget(source)
        self._guard.disregard(source[1])
