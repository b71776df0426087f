"""Many echo sessions, some of them at the same time, each checked byte for byte."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from echotime.clients.dial import dial
from echotime.clients.echo import EchoClient
from echotime.clients.status import ClientFailed, Status
from echotime.sockopt.assignment import Assignment
from echotime.wire.exactness import Exactness


class _Checked:
    """A sink for bytes that are only checked; it ends the session at the first wrong one."""

    client: EchoClient

    def __init__(self, exactness: Exactness) -> None:
        self._exactness = exactness

    def write(self, data: bytes) -> None:
        """They were checked already."""
        if not self._exactness.possible:
            self.client.give_up(ClientFailed(Status.FAILED))


@dataclass
class Outcome:
    """What became of all sessions. Times are seconds from connect to the end of file, of the exact ones."""

    exact: int = 0
    bytes_lost: int = 0
    failures: Counter[ClientFailed] = field(default_factory=Counter)
    """Why sessions were not exact; FAILED without a detail is for wrong bytes."""
    times: list[float] = field(default_factory=list)


@dataclass
class Session:
    """What each session does: connect, send, half-close, read to the end of file."""

    reactor: Any
    host: str
    port: int
    message: bytes
    acknowledgement: bytes
    word: bytes
    timeout: float
    asked: Sequence[Assignment] = ()

    async def run(self, outcome: Outcome) -> None:
        """One session, noted in the outcome."""
        exactness = Exactness(self.acknowledgement, self.word)
        began = time.monotonic()
        try:
            await self._talk(exactness)
        except ClientFailed as failed:
            outcome.failures[failed] += 1
            outcome.bytes_lost += exactness.ended().lost
            return
        verdict = exactness.ended()
        if verdict.exact:
            outcome.exact += 1
            outcome.times.append(time.monotonic() - began)
        else:
            outcome.bytes_lost += verdict.lost
            outcome.failures[ClientFailed(Status.FAILED)] += 1

    async def _talk(self, exactness: Exactness) -> None:
        sink = _Checked(exactness)
        client = await dial(
            self.reactor, self.host, self.port, lambda: EchoClient(sink, exactness), self.asked, self.timeout
        )
        sink.client = client
        late = self.reactor.callLater(self.timeout, client.give_up, ClientFailed(Status.TIMED_OUT))
        client.send(self.message)
        client.half_close()
        try:
            await client.ended
        finally:
            if late.active():
                late.cancel()


async def repeat(session: Session, times: int, parallel: int) -> Outcome:
    """Run so many sessions, at most `parallel` of them at once."""
    outcome = Outcome()
    left = iter(range(times))

    async def worker() -> None:
        for _ in left:
            await session.run(outcome)

    await gatherResults([Deferred.fromCoroutine(worker()) for _ in range(min(parallel, times))])
    return outcome
