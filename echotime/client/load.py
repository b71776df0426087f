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
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.sockopt.assignment import Assignment
from echotime.wire.verify import Cause, EchoVerifier, VerifyResult


class _NullSink:
    """Discard bytes, which the client has verified."""

    def write(self, data: bytes) -> None:
        pass


@dataclass
class FailureKind:
    """Count the sessions that failed in the same way, and keep the first."""

    session: int
    """Number of the first of them, from 1 in the order of their start."""
    first: ClientError | VerifyResult
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
    """Seconds from connect to the end of file, for each exact session."""
    address: ResolvedAddress | None = None
    """The address that answered last."""

    def add_failure(self, session: int, failure: ClientError | VerifyResult) -> None:
        """Count a failed session by the kind of its failure."""
        kind: ClientError | ExitStatus | Cause
        if isinstance(failure, VerifyResult):
            kind = failure.cause
        else:  # the same kind of failure has various errnos, such as ECONNRESET and EPIPE
            kind = failure if failure.status is ExitStatus.FAILED else failure.status
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

    async def run(self, result: LoadResult) -> None:
        """Run one session, and add it to the result."""
        result.started += 1
        session = result.started
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
            return
        result.bytes_lost += verified.lost
        result.add_failure(session, verified if failure is None or verified.found else failure)

    async def _exchange(self, verifier: EchoVerifier) -> ResolvedAddress:
        """Run one session, and return the address that answered. Raises ClientError."""
        deadline = self.make_deadline()
        client = await connect(
            self.reactor,
            self.addresses,
            lambda: EchoClient(_NullSink(), verifier),
            self.sockopts,
            deadline,
            self.make_header,
        )
        client.send(self.message)
        client.half_close()
        await deadline.limit(client.ended, ClientError(ExitStatus.TIMED_OUT))
        if not client.received_bytes:
            raise ClientError(ExitStatus.NO_ANSWER)
        return client.address


async def run_load(session: EchoSession, count: int, parallel: int, result: LoadResult) -> None:
    """Run `count` sessions, at most `parallel` of them at the same time, and add them to the result."""
    remaining = iter(range(count))

    async def worker() -> None:
        for _ in remaining:
            await session.run(result)

    await gatherResults([Deferred.fromCoroutine(worker()) for _ in range(min(parallel, count))], consumeErrors=True)
