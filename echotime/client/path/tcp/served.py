"""Connect, and find out what the server is: one that takes requests for behaviors, or any other echo server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.client.lookup import ResolvedAddress
from echotime.client.path.channel import together
from echotime.client.path.outcome import FarEnd, Finding, Outcome, duration
from echotime.client.path.route import QUIET, SECONDS, TOKEN_SIZE, Route, behavior, parse_report, token
from echotime.client.path.tcp.stream import FIN, RST, Stream, open_stream
from echotime.i18n.language import gettext as _
from echotime.wire.escape import preview
from echotime.wire.hostport import HostPort

_REQUEST = behavior("report")
_REPORT_START = b'{"echotime": "'
_MESSAGES = 2
"""Messages of a connection: their trailers show if what follows an echo varies with each, or with time."""
_SHOWN = 40
"""Bytes of a wrong answer that are shown."""


class Unserved(Exception):
    """Report that a connection was accepted, and not answered or not completely."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        """The outcome of the first test, with its finding."""


def judge_unserved(end: str | None, seconds: float) -> Outcome:
    """Return the finding of a connection that nothing answered."""
    if end is None:
        seen = _("connected, and no byte within {seconds:.0f} s").format(seconds=seconds)
    else:
        seen = _("connected, and {end} after {time}, without a byte").format(end=end, time=duration(seconds))
    return Outcome(findings=(Finding("accept-only", seen, {"end": end, "seconds": seconds}),))


def judge_part(received: bytes, sent: bytes, end: str | None) -> Outcome | None:
    """Return the finding of an echo without the last message, or None if the bytes are no part of an echo.

    After the request an acknowledgement may come, or an operator's reply. An echotime may answer it with a report.
    """
    is_report = _begins_with_report(received, sent.removeprefix(_REQUEST))
    if end not in {None, FIN, RST} or not (is_report or sent.startswith(received) or received.startswith(_REQUEST)):
        return None
    values = {"sent": len(sent), "received": len(received), "end": end}
    if end is not None:
        text = _("{end} after {sent} bytes sent and {received} received")
        if is_report:
            text = _("the answer of an echotime ended after {received} bytes, with {end}")
        return Outcome(findings=(Finding("data-cut", text.format(**values), values),))
    text = _("{sent} bytes sent, and so far only '{text}' received").format(
        sent=len(sent), text=preview(received, _SHOWN)
    )
    return Outcome(findings=(Finding("echo-incomplete", text, values),))


def _begins_with_report(received: bytes, messages: bytes) -> bool:
    """Return True for a report, or its beginning. The echo of the messages may follow, as far as it has come."""
    line, newline, rest = received.partition(b"\n")
    if not newline:
        return line.startswith(_REPORT_START)
    return messages.startswith(rest[:TOKEN_SIZE]) and parse_report(line, "echotime") is not None


def judge_answers(answers: Sequence[bytes], message: bytes, own: HostPort) -> FarEnd:
    """Return what the answers to a request for a report, and to the same message twice, say of the server.

    Raises ClientError if they are no echo.
    """
    trailers = set()
    reports = []
    for answer in answers:
        line, _newline, rest = answer.partition(b"\n")
        report = parse_report(line, "echotime")
        before, *following = rest.split(message)
        is_echo = line + b"\n" == _REQUEST
        if len(following) < _MESSAGES or not (is_echo or (report is not None and not before)):
            text = preview(answer, _SHOWN)
            raise ClientError(ExitStatus.FAILED, _("not an echo server: it sent '{text}'").format(text=text))
        # an ordinary server has echoed the request, too, with a trailer
        trailers |= {before, *following} if is_echo else {*following}
        reports.append(report or {})
    version = str(reports[-1]["echotime"]) if all(reports) else ""
    return FarEnd(version, trailers.pop() if len(trailers) == 1 else None, reports[-1] if version else {}, own)


async def identify(reactor: Any, address: ResolvedAddress) -> FarEnd:
    """Return what the server is, by two connections. Raises ClientError, or Unserved if the echo is not complete."""
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


async def require_answer(route: Route) -> None:
    """Exchange a message on another connection. Raises ClientError, or Unserved if no byte comes back."""
    stream = await route.open()
    try:
        started_at = stream.seconds()
        await stream.send(token(), SECONDS)
        if not await stream.read_until(lambda: bool(stream.received), SECONDS):
            raise _unserved(stream, started_at)
    finally:
        stream.close()


async def _converse(stream: Stream, message: bytes) -> bytes:
    """Return the answers to the request and to the messages. Raises Unserved if one is not complete."""
    started_at = stream.seconds()
    if not await stream.read_until(lambda: b"\n" in stream.received, SECONDS) and not stream.received:
        raise _unserved(stream, started_at)
    for count in range(1, _MESSAGES + 1):
        await stream.read_to_end(QUIET)
        await stream.send(message, SECONDS)
        if not await stream.read_until(lambda: stream.received.count(message) >= count, SECONDS):  # noqa: B023
            part = judge_part(bytes(stream.received), _REQUEST + message * count, stream.end)
            if part is not None:
                raise Unserved(part)
            break
    await stream.read_to_end(QUIET)
    return bytes(stream.received)


def _unserved(stream: Stream, started_at: float) -> Unserved:
    """Return the exception for a connection without a byte."""
    seconds = (stream.ended_at if stream.end else stream.seconds()) - started_at
    return Unserved(judge_unserved(stream.end, seconds))
