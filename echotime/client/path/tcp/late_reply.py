"""Half-close, and see if what the server sends later still arrives."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from echotime.client.path.outcome import Finding, Outcome, duration
from echotime.client.path.route import ANSWERS_VARY, SECONDS, Route, token
from echotime.client.path.tcp.ended import by_server, how_it_ended
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_DELAY = 1.5
_EARLY = 0.5
"""Share of the delay before which a reply shows that the server did not delay it."""


@dataclass(frozen=True)
class LateReply:
    """Hold what came after a half-close, with times since then."""

    echoed: bool
    complete_after: float | None
    """Seconds to the last byte of the reply, None if it did not come."""
    end: str | None
    ended_after: float
    ended_by: str | None = None
    """The server's name for the end. None if it still has the connection, or is not asked."""


def judge(observed: LateReply) -> Outcome:
    """Return a finding if the connection ended, or stayed silent, without the late reply.

    There is none if the server ended the connection itself.
    """
    if not observed.echoed:
        return Outcome(untested=_("the server did not echo before the delay"))
    if observed.complete_after is not None:
        if observed.complete_after < _DELAY * _EARLY:
            return Outcome(untested=_("the server did not delay its reply"))
        return Outcome(_("arrived {seconds:.1f} s after the half-close").format(seconds=observed.complete_after))
    if (outcome := by_server(observed.ended_by)) is not None:
        return outcome
    if observed.end is None:
        seen = _("no reply within {seconds:.1f} s after the half-close").format(seconds=_DELAY + SECONDS)
    else:
        seen = _("{end} {time} after the half-close, before the reply").format(
            end=observed.end, time=duration(observed.ended_after)
        )
    values = {"end": observed.end, "seconds": observed.ended_after, "delay": _DELAY}
    return Outcome(findings=(Finding("late-reply-lost", seen, values),))


class LateReplyExperiment:
    """Send 16 bytes, half-close after their echo, and await the acknowledgement, which comes 1.5 s later."""

    name = N_("late reply")
    needs_behavior = True
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        if route.far_end.trailer is None:
            return Outcome(untested=_(ANSWERS_VARY))
        if not route.far_end.trailer:
            return Outcome(untested=_("nothing follows the server's echo; this test needs --ack with a text"))
        data, name = token(), secrets.token_hex(8)
        stream = await route.open("late_reply", delay=_DELAY, id=name)
        try:
            await stream.send(data, SECONDS)
            echoed = await stream.read_until(lambda: len(stream.received) >= len(data), SECONDS)
            closed_at = stream.seconds()
            stream.half_close()
            complete = await stream.read_until(route.answered(stream, data), _DELAY + SECONDS)
        finally:
            stream.close()
        last = stream.arrivals[-1][0] - closed_at if complete else None
        ended_by = None if complete else await how_it_ended(route, name)
        return judge(LateReply(echoed, last, stream.end, stream.ended_at - closed_at, ended_by))
