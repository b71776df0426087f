"""Run many echo sessions, some at the same time, and verify every byte of each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from echotime.client.connect import connect
from echotime.client.echo import EchoClient
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.sockopt.assignment import Assignment
from echotime.wire.verify import EchoVerifier


class _VerifyingSink:
    """Discard bytes, which the client has verified, and end the session after the first wrong one."""

    client: EchoClient

    def __init__(self, verifier: EchoVerifier) -> None:
        self._verifier = verifier

    def write(self, data: bytes) -> None:
        if not self._verifier.can_still_match:
            self.client.abort(ClientError(ExitStatus.FAILED))


@dataclass
class LoadResult:
    """Collect the results of all sessions."""

    exact: int = 0
    bytes_lost: int = 0
    failures: Counter[ClientError] = field(default_factory=Counter)
    """Number of failed sessions by error. FAILED without a detail stands for wrong bytes."""
    times: list[float] = field(default_factory=list)
    """Seconds from connect to the end of file, for each exact session."""


@dataclass
class EchoSession:
    """Run sessions that connect, send, half-close, and read to the end of file."""

    reactor: Any
    host: str
    port: int
    message: bytes
    acknowledgement: bytes
    reply: bytes
    timeout: float
    sockopts: Sequence[Assignment] = ()

    async def run(self, result: LoadResult) -> None:
        """Run one session, and add it to the result."""
        verifier = EchoVerifier(self.acknowledgement, self.reply)
        started_at = time.monotonic()
        failure = None
        try:
            await self._exchange(verifier)
        except ClientError as error:
            failure = error
        verified = verifier.finish()
        if failure is None and verified.exact:
            result.exact += 1
            result.times.append(time.monotonic() - started_at)
        else:
            result.bytes_lost += verified.lost
            result.failures[failure or ClientError(ExitStatus.FAILED)] += 1

    async def _exchange(self, verifier: EchoVerifier) -> None:
        sink = _VerifyingSink(verifier)
        client = await connect(
            self.reactor, self.host, self.port, lambda: EchoClient(sink, verifier), self.sockopts, self.timeout
        )
        sink.client = client
        timeout_call = self.reactor.callLater(self.timeout, client.abort, ClientError(ExitStatus.TIMED_OUT))
        client.send(self.message)
        client.half_close()
        try:
            await client.ended
        finally:
            if timeout_call.active():
                timeout_call.cancel()


async def run_load(session: EchoSession, count: int, parallel: int) -> LoadResult:
    """Run `count` sessions, at most `parallel` of them at the same time."""
    result = LoadResult()
    remaining = iter(range(count))

    async def worker() -> None:
        for _ in remaining:
            await session.run(result)

    await gatherResults([Deferred.fromCoroutine(worker()) for _ in range(min(parallel, count))], consumeErrors=True)
    return result
