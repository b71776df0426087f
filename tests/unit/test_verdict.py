"""Test what the tools say about a failed echo session."""

from __future__ import annotations

import pytest

from echotime.cli.output.verdict import describe_failure
from echotime.client.echo_failure import EchoFailure
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.load import LoadResult
from echotime.wire.verify import Cause, EchoVerifier

ACK = b"\nI get it!\n"
EARLY_CLOSE = "nginx needs proxy_half_close on, Traefik a longer terminationDelay; or "
REFUSED = "an access list or a connection limit"
NO_HALF_CLOSE = f"a proxy that does not pass on the half-close: {EARLY_CLOSE}{REFUSED}"
CLOSES_SOON = (
    f"a proxy that closes soon after the half-close: {EARLY_CLOSE}a reset of the server, which a proxy passes on as FIN"
)
RESETS = "an access list, a limit, a timeout or a stop of the server; its log says which"
RESETS_WITHOUT_A_BYTE = (
    "an access list, a limit, a timeout or a stop of the server, or a PROXY header that it expects; its log says which"
)
OTHER_REPLY = "the server has another reply, see --reply"
LATE_REPLY = f"{OTHER_REPLY}; or a proxy that closes soon after the half-close: Traefik needs a longer terminationDelay"
END = "end of file 100.0 ms after the half-close"
FAILED, NO_ANSWER, RESET = (ClientError(each) for each in (ExitStatus.FAILED, ExitStatus.NO_ANSWER, ExitStatus.RESET))
TIMED_OUT = ClientError(ExitStatus.TIMED_OUT)


def failure_of(
    received: bytes, error: ClientError, seconds: float | None = 0.1, *, verified: bool = True
) -> EchoFailure:
    """Return the failure of a session that sent ``hello``."""
    verifier = EchoVerifier(ACK, b"ok")
    verifier.feed_sent(b"hello")
    verifier.feed_received(received)
    return EchoFailure(error, 5, len(received), seconds, verifier.finish() if verified else None)


@pytest.mark.parametrize(
    ("received", "error", "seconds", "text"),
    [
        (b"", NO_ANSWER, 0.1, f"{END}, 0 of 18 bytes (usual cause: {NO_HALF_CLOSE})"),
        (b"", NO_ANSWER, None, f"end of file, 0 of 18 bytes (usual cause: {REFUSED})"),
        (b"hel", FAILED, 0.1, f"cut after 3 of 18 bytes, {END} (usual cause: {CLOSES_SOON})"),
        (
            b"hel",
            FAILED,
            None,
            "cut after 3 of 18 bytes, end of file "
            "(usual cause: a reset or a stop of the server; a proxy passes on a reset as FIN)",
        ),
        (
            b"hello",
            FAILED,
            0.1,
            f"no acknowledgement or reply after the echo, {END} "
            "(usual cause: the server sends none; see --ack and --reply)",
        ),
        (b"hello" + ACK, FAILED, 0.1, f"no reply after the acknowledgement, {END} (usual cause: {LATE_REPLY})"),
        (
            b"hello" + ACK,
            FAILED,
            None,
            f"no reply after the acknowledgement, end of file (usual cause: {OTHER_REPLY})",
        ),
        (b"hel", RESET, 0.1, f"connection reset after 3 of 18 bytes (usual cause: {RESETS})"),
        (b"", RESET, 0.1, f"connection reset after 0 of 18 bytes (usual cause: {RESETS_WITHOUT_A_BYTE})"),
        (b"", TIMED_OUT, 0.1, "timed out: connected, no answer, after 0 of 18 bytes"),
        (b"hello" + ACK, TIMED_OUT, 0.1, f"timed out, after 16 of 18 bytes (usual cause: {OTHER_REPLY})"),
        (
            b"hello" + ACK + b"ok",
            TIMED_OUT,
            0.1,
            "timed out, after 18 of 18 bytes "
            "(usual cause: a proxy that keeps the half-close to itself, so that the server waits for more)",
        ),
        (b"hello" + ACK + b"ok", TIMED_OUT, None, "timed out, after 18 of 18 bytes"),
        (b"hel", ClientError(ExitStatus.FAILED, "no space"), 0.1, "no space, after 3 of 18 bytes"),
        (
            b"hexlo",
            RESET,
            0.1,
            "wrong byte at offset 2: expected 'l', found 'x' "
            "(usual cause: not an echo server, a proxy that changes bytes, or another acknowledgement; see --ack)",
        ),
    ],
)
def test_verdict(received: bytes, error: ClientError, seconds: float | None, text: str) -> None:
    """Each end of a session has its own words and its usual cause."""
    assert describe_failure(failure_of(received, error, seconds)) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NO_ANSWER, f"{END}, 5 bytes sent and 0 received (usual cause: {NO_HALF_CLOSE})"),
        (RESET, f"connection reset after 5 bytes sent and 0 received (usual cause: {RESETS_WITHOUT_A_BYTE})"),
        (TIMED_OUT, "timed out: connected, no answer, after 5 bytes sent and 0 received"),
    ],
)
def test_verdict_of_unverified_answer(error: ClientError, text: str) -> None:
    """Without verification the length of a complete answer is not known."""
    assert describe_failure(failure_of(b"", error, verified=False)) == text


def test_kinds() -> None:
    """Failures are counted by status or by cause, with the bytes that they lost, and a wrong byte is no reset."""
    result = LoadResult()
    for received, error in (
        (b"hel", FAILED),
        (b"he", FAILED),
        (b"", NO_ANSWER),
        (b"hello" + ACK, FAILED),
        (b"hel", RESET),
        (b"HELLO", RESET),
    ):
        result.add_failure(1, failure_of(received, error))
    counts = {kind: each.count for kind, each in result.failures.items()}
    assert counts == {Cause.CUT: 2, ExitStatus.NO_ANSWER: 1, Cause.NO_REPLY: 1, ExitStatus.RESET: 1, Cause.ECHO: 1}
    assert result.bytes_lost == 2 + 3 + 5 + 0 + 2 + 0
    assert result.failures[Cause.ECHO].first.status is ExitStatus.FAILED
