"""Connect, and find out what the server is: one that takes requests for behaviors, or any other echo server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.channel import together
from echotime.client.path.outcome import FarEnd, Finding, Outcome
from echotime.client.path.route import QUIET, SECONDS, behavior, parse_report, token
from echotime.client.path.tcp.stream import Stream, open_stream
from echotime.i18n.language import gettext as _
from echotime.wire.escape import preview
from echotime.wire.hostport import HostPort

_REQUEST = behavior("report")
_SHOWN = 40
"""Bytes of a wrong answer that are shown."""


class Unserved(Exception):
    """Report that a connection was accepted and not answered."""

    def __init__(self, end: str | None, seconds: float) -> None:
        super().__init__(end, seconds)
        self.end = end
        self.seconds = seconds


def judge_unserved(end: str | None, seconds: float) -> Outcome:
    """Return the finding of a connection that nothing answered."""
    if end is None:
        seen = _("connected, and no byte within {seconds:.0f} s").format(seconds=seconds)
    else:
        seen = _("connected, and {end} after {ms:.1f} ms, without a byte").format(end=end, ms=seconds * 1000)
    return Outcome(findings=(Finding("accept-only", seen, {"end": end, "seconds": seconds}),))


def judge_answers(answers: Sequence[bytes], message: bytes, own: HostPort) -> FarEnd:
    """Return what the answers to a request for a report, and to a message after it, say of the server.

    Raises ClientError if they are no echo.
    """
    trailers = set()
    reports = []
    for answer in answers:
        line, _newline, rest = answer.partition(b"\n")
        report = parse_report(line, "echotime")
        before, found, trailer = rest.rpartition(message)
        is_echo = line + b"\n" == _REQUEST
        if not found or not (is_echo or (report is not None and not before)):
            text = preview(answer, _SHOWN)
            raise ClientError(ExitStatus.FAILED, _("not an echo server: it sent '{text}'").format(text=text))
        # an ordinary server has echoed the request, too, with a trailer
        trailers |= {before, trailer} if is_echo else {trailer}
        reports.append(report or {})
    version = str(reports[-1]["echotime"]) if all(reports) else ""
    return FarEnd(version, trailers.pop() if len(trailers) == 1 else None, reports[-1] if version else {}, own)


async def identify(reactor: Any, address: ResolvedAddress) -> FarEnd:
    """Return what the server is, by two connections. Raises ClientError, or Unserved if it only accepts."""
    message = token()
    streams: list[Stream] = []
    try:
        for _number in range(2):
            streams.append(await open_stream(reactor, address, first=_REQUEST))
        own = streams[-1].own
        answers = await together(_converse(each, message) for each in streams)
    finally:
        for each in streams:
            each.close()
    return judge_answers(answers, message, own)


async def _converse(stream: Stream, message: bytes) -> bytes:
    """Return the answers to the request and to the message. Raises Unserved if there is none."""
    started_at = stream.seconds()
    if not await stream.read_until(lambda: b"\n" in stream.received, SECONDS) and not stream.received:
        raise Unserved(stream.end, (stream.ended_at if stream.end else stream.seconds()) - started_at)
    await stream.read_to_end(QUIET)
    await stream.send(message, SECONDS)
    await stream.read_until(lambda: message in stream.received, SECONDS)
    await stream.read_to_end(QUIET)
    return bytes(stream.received)
