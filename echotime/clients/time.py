"""Asking for the time over UDP: questions until one is answered, and what the four bytes say."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from echotime.clients.lookup import Endpoint, endpoints
from echotime.clients.question import Answer, Question
from echotime.clients.status import ClientFailed, Status
from echotime.sockopt.assignment import Assignment
from echotime.wire import timestamp
from echotime.wire.timestamp import Epoch


class Reading(NamedTuple):
    """A time of the server against the local clock, both Unix time in seconds.

    The server cut the fraction off, and the answer was made at some moment of the round trip: its true time was
    `seconds` to `seconds` + 1, so the offset is known to within `uncertainty`.
    """

    seconds: int
    offset: float
    uncertainty: float
    wrapped: bool
    """Whether the four bytes alone would have meant another time, as after 2106."""


def reading(answer: Answer, epoch: Epoch) -> Reading:
    """What an answer says. Raises ValueError for one that has not four bytes."""
    plain = timestamp.unpack(answer.datagram, epoch)
    middle = answer.at - answer.round_trip / 2
    seconds = timestamp.unwrapped(plain, middle)
    offset = seconds + 0.5 - middle
    return Reading(seconds, offset, 0.5 + answer.round_trip / 2, seconds != plain)


@dataclass
class TimeClient:
    """Asks one host, at most `tries` times, waiting `timeout` seconds each time for all of its addresses together.

    `strangers` are the addresses that answered although they were not asked.
    """

    reactor: Any
    host: str
    port: int
    tries: int = 3
    timeout: float = 1.0
    asked: Sequence[Assignment] = ()
    strangers: list[str] = field(default_factory=list)

    async def ask(self) -> tuple[Endpoint, Answer]:
        """Who answered, and what. Raises ClientFailed: REFUSED if all addresses refused, else NO_ANSWER."""
        failures: list[ClientFailed] = []
        found = await endpoints(self.host, self.port, socket.SOCK_DGRAM)
        for _ in range(self.tries):
            failures = []
            for endpoint in found:
                try:
                    return endpoint, await self._ask_once(endpoint, self.timeout / len(found))
                except ClientFailed as reason:
                    failures.append(reason)
            if all(each.status is not Status.NO_ANSWER for each in failures):
                break
        raise next((each for each in failures if each.status is Status.NO_ANSWER), failures[-1])

    async def _ask_once(self, endpoint: Endpoint, seconds: float) -> Answer:
        self._waiting: Deferred[Answer] = Deferred()
        question = Question(self.reactor, endpoint, self, self.asked)
        question.ask()
        timeout = self.reactor.callLater(seconds, self._end, ClientFailed(Status.NO_ANSWER))
        try:
            return await self._waiting
        finally:
            question.close()
            if timeout.active():
                timeout.cancel()

    def _end(self, result: Answer | ClientFailed) -> None:
        if not self._waiting.called:
            self._waiting.callback(result) if isinstance(result, Answer) else self._waiting.errback(result)

    def answered(self, question: Question, answer: Answer) -> None:
        """The first answer is the answer."""
        self._end(answer)

    def stranger(self, question: Question, address: str) -> None:
        """Remember it, for the user to know."""
        self.strangers.append(address)

    def failed(self, question: Question, number: int) -> None:
        """The question did not arrive."""
        self._end(ClientFailed.from_errno(number))
