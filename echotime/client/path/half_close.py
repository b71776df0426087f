"""Half-close right after a message, and see if the answer arrives completely, with the server's FIN."""

from __future__ import annotations

import os
from dataclasses import dataclass

from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.route import SECONDS, Route, token
from echotime.client.path.stream import FIN, exchange
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_
from echotime.wire.verify import Cause

_LONG = 1_000_000
_CUT = {Cause.CUT, Cause.NO_TRAILER, Cause.NO_REPLY}
"""Causes of an answer that is correct and too short."""


@dataclass(frozen=True)
class HalfClose:
    """Hold what came after a half-close."""

    sent: int
    received: int
    missing: int
    """Bytes that the answer lacks; 0 if it is complete, or wrong in another way."""
    end: str | None
    seconds: float
    """Time from the half-close to the end, or to the last byte if there was no end."""
    was_slow: bool = False
    """True if the answer was still coming when the time had passed."""


def judge(short: HalfClose, long: HalfClose | None) -> Outcome:
    """Return a finding if an answer was not complete, or no FIN came."""
    for each in filter(None, (short, long)):
        if each.was_slow:
            continue
        values = {"sent": each.sent, "received": each.received, "end": each.end, "seconds": each.seconds}
        amount = _("{received} of {expected} bytes").format(
            received=each.received, expected=each.received + each.missing
        )
        if each.missing:
            text = _("{end} {ms:.1f} ms after the half-close, and {amount}")
            if each.end is None:
                text = _("nothing more after the half-close, and {amount}")
            seen = text.format(end=each.end, ms=each.seconds * 1000, amount=amount)
            return Outcome(findings=(Finding("half-close-cut", seen, values),))
        if each.end is None:
            seen = _("the answer is complete, and no FIN came within {seconds:.0f} s").format(seconds=SECONDS)
            return Outcome(findings=(Finding("half-close-lost", seen, values),))
        if each.end != FIN:
            seen = _("{end} {ms:.1f} ms after the half-close, and {amount}").format(
                end=each.end, ms=each.seconds * 1000, amount=amount
            )
            return Outcome(findings=(Finding("half-close-cut", seen, values),))
    sent = max(each.sent for each in filter(None, (short, long)) if not each.was_slow)
    return Outcome(_("complete answers to {sent} bytes, and FIN").format(sent=sent))


class HalfCloseExperiment:
    """Send 16 bytes, then 1 MB for at most 3 s, each with a FIN at once."""

    name = N_("half-close")
    needs_behavior = False
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        if route.far_end.trailer is None:
            return Outcome(untested=_("the server's answers vary; it takes a constant acknowledgement and reply"))
        short = await self._observe(route, token())
        if short.missing or short.end != FIN:
            return judge(short, None)
        return judge(short, await self._observe(route, os.urandom(_LONG)))

    @staticmethod
    async def _observe(route: Route, data: bytes) -> HalfClose:
        stream = await route.open()
        try:
            closed_at = await exchange(stream, data, lambda: False, SECONDS, half_close=True)
        finally:
            stream.close()
        result = route.verify(data[: stream.sent], bytes(stream.received))
        last = stream.ended_at if stream.end else (stream.arrivals or [(closed_at, 0)])[-1][0]
        missing = result.missing if not result.exact and result.cause in _CUT else 0
        return HalfClose(stream.sent, len(stream.received), missing, stream.end, last - closed_at, stream.was_slow)
