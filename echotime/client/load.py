"""Run many echo sessions, some at the same time, and verify every byte of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from echotime.client.connect import MakeHeader, connect
from echotime.client.deadline import Deadline
from echotime.client.echo import EchoClient
from echotime.client.echo_failure import EchoFailure
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.sockopt.assignment import Assignment
from echotime.wire.verify import Cause, EchoVerifier


class _NullSink:
    """Discard bytes, which the client has verified."""

    def write(self, data: bytes) -> None:
        pass


@dataclass
class FailureKind:
    """Count the sessions that failed in the same way, and keep the first."""

    session: int
    """Number of the first of them, from 1 in the order of their start."""
    first: ClientError
    count: int = 0


@dataclass
class LoadResult:
    """Collect the results of all sessions."""

    started: int = 0
    exact: int = 0
    bytes_lost: int = 0
    """Sent bytes whose echo is missing, where the answer ended before it."""
    failures: dict[ClientError | ExitStatus | Cause, FailureKind] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    """Seconds from connect to the end of file, or of the answer without half-close, for each exact session."""
    address: ResolvedAddress | None = None
    """The address that answered last."""

    def add_failure(self, session: int, failure: ClientError) -> None:
        """Count a failed session by the kind of its failure, and the bytes that it lost."""
        # the same kind of failure has various errnos, such as ECONNRESET and EPIPE
        kind: ClientError | ExitStatus | Cause = failure if failure.status is ExitStatus.FAILED else failure.status
        if isinstance(failure, EchoFailure):
            kind = failure.cause or kind
            self.bytes_lost += failure.lost
        self.failures.setdefault(kind, FailureKind(session, failure)).count += 1


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
    make_header: MakeHeader | None = None
    half_close: bool = True
    """False: close the connection once the answer is complete."""

    async def run(self, result: LoadResult) -> None:
        """Run one session, and add it to the result."""
        result.started += 1
        session = result.started
        started_at = time.monotonic()
        try:
            address = await self._exchange()
        except ClientError as failure:
            result.add_failure(session, failure)
            return
        result.address = address
        result.exact += 1
        result.times.append(time.monotonic() - started_at)

    async def _exchange(self) -> ResolvedAddress:
        """Run one session, and return the address that answered. Raises ClientError."""
        deadline = self.make_deadline()
        verifier = EchoVerifier(self.acknowledgement, self.reply)
        client = await connect(
            self.reactor,
            self.addresses,
            lambda: EchoClient(_NullSink(), verifier),
            self.sockopts,
            deadline,
            self.make_header,
        )
        client.send(self.message)
        if self.half_close:
            client.half_close()
        else:
            client.close_when_complete()
        await client.completed(deadline)
        return client.address


async def run_load(session: EchoSession, count: int, parallel: int, result: LoadResult) -> None:
    """Run `count` sessions, at most `parallel` of them at the same time, and add them to the result."""
    remaining = iter(range(count))

    async def worker() -> None:
        for _ in remaining:
            await session.run(result)

    await gatherResults([Deferred.fromCoroutine(worker()) for _ in range(min(parallel, count))], consumeErrors=True)
