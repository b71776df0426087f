"""Send data with every byte value, and compare the echo."""

from __future__ import annotations

import os
from dataclasses import dataclass

from echotime.client.path.outcome import Finding, Outcome, duration
from echotime.client.path.route import ANSWERS_VARY, SECONDS, Route
from echotime.client.path.tcp.stream import exchange
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_
from echotime.wire.escape import escape
from echotime.wire.verify import EchoVerifier, VerifyResult

_RANDOM = 2_000_000
_SPECIAL = (
    *(bytes(range(256)), bytes(range(255, -1, -1)), b"\r\n\n\r\0\r\0\n\r\n"),
    # bytes that a proxy of FTP, SIP, HTTP, SMTP or telnet would rewrite
    b"PORT 10,0,0,1,4,1\r\n227 Entering Passive Mode (10,0,0,1,4,1)\r\nVia: SIP/2.0/TCP 10.0.0.1:5060\r\n",
    b"GET / HTTP/1.1\r\nHost: example\r\n\r\nEHLO example\r\n250-STARTTLS\r\n\xff\xf4\xff\xfd\x06\xff\xff",
)


@dataclass(frozen=True)
class DataEcho:
    """Hold how the answer compares with what was sent."""

    sent: int
    received: int
    result: VerifyResult
    end: str | None
    seconds: float
    was_slow: bool = False
    """True if the echo was still coming when the time had passed."""


def judge(observed: DataEcho) -> Outcome:
    """Return a finding if bytes differ or are missing."""
    result = observed.result
    values = {"sent": observed.sent, "received": observed.received, "end": observed.end, "seconds": observed.seconds}
    if result.exact:
        text = _("{sent} bytes unchanged in {time}").format(sent=observed.sent, time=duration(observed.seconds))
        return Outcome(text)
    if result.missing and observed.was_slow:
        text = _("{sent} bytes unchanged in {time}").format(sent=observed.received, time=duration(observed.seconds))
        return Outcome(text)
    if result.missing:
        text = _("{end} after {sent} bytes sent and {received} received")
        if observed.end is None:
            text = _("stalled after {sent} bytes sent and {received} received")
        seen = text.format(end=observed.end, sent=observed.sent, received=observed.received)
        return Outcome(findings=(Finding("data-cut", seen, values),))
    seen = _("wrong byte at offset {offset}: expected {expected}, found {found}").format(
        offset=result.wrong_at,
        expected=f"'{escape(result.expected)}'" if result.expected else _("end of file"),
        found=f"'{escape(result.found)}'",
    )
    return Outcome(findings=(Finding("data-changed", seen, {**values, "offset": result.wrong_at}),))


class DataExperiment:
    """Send what proxies rewrite, and 2 MB at random, for at most 3 s, without a half-close."""

    name = N_("data")
    needs_behavior = False
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        if route.far_end.trailer is None:
            return Outcome(untested=_(ANSWERS_VARY))
        data = b"".join([*_SPECIAL, os.urandom(_RANDOM)])
        stream = await route.open()
        verifier = EchoVerifier(route.far_end.trailer)
        compared = 0

        def complete() -> bool:
            nonlocal compared
            verifier.feed_sent(data[verifier.sent_bytes : stream.sent])
            verifier.feed_received(bytes(memoryview(stream.received)[compared:]))
            compared = len(stream.received)
            return not verifier.can_still_match or (compared >= stream.sent and verifier.is_complete())

        try:
            started_at = stream.seconds()
            await exchange(stream, data, complete, SECONDS)
            complete()
            seconds = stream.seconds() - started_at
        finally:
            stream.close()
        received = len(stream.received)
        return judge(DataEcho(stream.sent, received, verifier.finish(), stream.end, seconds, stream.was_slow))
