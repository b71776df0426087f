"""Run many echo sessions, some at the same time, and verify every byte of each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from echotime.client.connect import connect
from echotime.client.deadline import Deadline
from echotime.client.echo import EchoClient
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.sockopt.assignment import Assignment
from echotime.wire.verify import EchoVerifier


class _NullSink:
    """Discard bytes, which the client has verified."""

    def write(self, data: bytes) -> None:
        pass


@dataclass
class LoadResult:
    """Collect the results of all sessions."""

    exact: int = 0
    bytes_lost: int = 0
    failures: Counter[ClientError] = field(default_factory=Counter)
    """Number of failed sessions by error. FAILED without a detail stands for wrong bytes."""
    times: list[float] = field(default_factory=list)
    """Seconds from connect to the end of file, for each exact session."""
    address: ResolvedAddress | None = None
    """The address that answered last."""


@dataclass
class EchoSession:
    """Run sessions that connect, send, half-close, and read to the end of file."""

    reactor: Any
    addresses: Sequence[ResolvedAddress]
    message: bytes
    acknowledgement: bytes
    reply: bytes
    make_deadline: Callable[[], Deadline]
    """Return the deadline of a session that begins."""
    sockopts: Sequence[Assignment] = ()

    async def run(self, result: LoadResult) -> None:
        """Run one session, and add it to the result."""
        verifier = EchoVerifier(self.acknowledgement, self.reply)
        started_at = time.monotonic()
        failure = None
        try:
            result.address = await self._exchange(verifier)
        except ClientError as error:
            failure = error
        verified = verifier.finish()
        if failure is None and verified.exact:
            result.exact += 1
            result.times.append(time.monotonic() - started_at)
        else:
            result.bytes_lost += verified.lost
            result.failures[failure or ClientError(ExitStatus.FAILED)] += 1

    async def _exchange(self, verifier: EchoVerifier) -> ResolvedAddress:
        """Run one session, and return the address that answered. Raises ClientError."""
        deadline = self.make_deadline()
        client = await connect(
            self.reactor, self.addresses, lambda: EchoClient(_NullSink(), verifier), self.sockopts, deadline
        )
        client.send(self.message)
        client.half_close()
        await deadline.limit(client.ended, ClientError(ExitStatus.TIMED_OUT))
        return client.address


async def run_load(session: EchoSession, count: int, parallel: int) -> LoadResult:
    """Run `count` sessions, at most `parallel` of them at the same time."""
    result = LoadResult()
    remaining = iter(range(count))

    async def worker() -> None:
        for _ in remaining:
            await session.run(result)

    await gatherResults([Deferred.fromCoroutine(worker()) for _ in range(min(parallel, count))])
    return result
