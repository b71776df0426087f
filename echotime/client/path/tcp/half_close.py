"""Half-close right after a message, and see if the answer arrives completely, with the server's FIN."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from echotime.client.path.outcome import Finding, Outcome, duration
from echotime.client.path.route import ANSWERS_VARY, SECONDS, Route, token
from echotime.client.path.tcp.stream import FIN, exchange
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_LONG = 1_000_000


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


def judge(observed: Sequence[HalfClose]) -> Outcome:
    """Return a finding for the first answer that was not complete, or without a FIN. Slow ones say nothing."""
    in_time = [each for each in observed if not each.was_slow]
    for each in in_time:
        if each.missing or each.end != FIN:
            is_lost = each.end is None and not each.missing
            values = {"sent": each.sent, "received": each.received, "end": each.end, "seconds": each.seconds}
            return Outcome(findings=(Finding("half-close-lost" if is_lost else "half-close-cut", _seen(each), values),))
    if not in_time:
        return Outcome(untested=_("the answers come too slowly"))
    return Outcome(_("complete answers to {sent} bytes, and FIN").format(sent=in_time[-1].sent))


def _seen(observed: HalfClose) -> str:
    expected = observed.received + observed.missing
    amount = _("{received} of {expected} bytes").format(received=observed.received, expected=expected)
    if observed.end is not None:
        text = _("{end} {time} after the half-close, and {amount}")
    elif observed.missing:
        text = _("nothing more after the half-close, and {amount}")
    else:
        text = _("the answer is complete, and no FIN came within {seconds:.0f} s")
    return text.format(end=observed.end, time=duration(observed.seconds), amount=amount, seconds=SECONDS)


class HalfCloseExperiment:
    """Send 16 bytes, then 1 MB for at most 3 s, each with a FIN at once."""

    name = N_("half-close")
    needs_behavior = False
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        if route.far_end.trailer is None:
            return Outcome(untested=_(ANSWERS_VARY))
        observed = [await self._observe(route, token())]
        if not judge(observed).findings:
            observed.append(await self._observe(route, os.urandom(_LONG)))
        return judge(observed)

    @staticmethod
    async def _observe(route: Route, data: bytes) -> HalfClose:
        stream = await route.open()
        try:
            closed_at = await exchange(stream, data, lambda: False, SECONDS, half_close=True)
        finally:
            stream.close()
        result = route.verify(data[: stream.sent], bytes(stream.received))
        last = stream.ended_at if stream.end else (stream.arrivals or [(closed_at, 0)])[-1][0]
        received, seconds = len(stream.received), last - closed_at
        return HalfClose(stream.sent, received, result.missing, stream.end, seconds, stream.was_slow)
