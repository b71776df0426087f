"""Reset a connection, and ask the server how it ended."""

from __future__ import annotations

import secrets

from echotime.client.path.channel import sleep
from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.route import SECONDS, Route, token
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_
from echotime.wire.connection_end import BY_CLIENT, BY_CLIENT_RESET

_INTERVAL = 0.1
"""Seconds between questions."""


def judge(ended: str | None, seconds: float) -> Outcome:
    """Return a finding if the client's RST reached the server as a FIN, or not at all."""
    if ended == BY_CLIENT_RESET:
        return Outcome(_("arrived as RST"))
    values = {"ended": ended, "seconds": seconds}
    if ended is None:
        seen = _("to the server the connection is open {seconds:.1f} s after the client reset it").format(
            seconds=seconds
        )
        return Outcome(findings=(Finding("reset-to-server-lost", seen, values),))
    if ended == BY_CLIENT:
        seen = _("the client's RST reached the server as FIN")
        return Outcome(findings=(Finding("reset-to-server-as-fin", seen, values),))
    return Outcome(untested=_("the server ended the connection itself: {reason}").format(reason=ended))


class ResetToServerExperiment:
    """Exchange 16 bytes, reset the connection, and ask for its end for at most 3 s."""

    name = N_("reset to server")
    needs_behavior = True
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        data, name = token(), secrets.token_hex(8)
        stream = await route.open("echo", id=name)
        try:
            await stream.send(data, SECONDS)
            if not await stream.read_until(lambda: len(stream.received) >= len(data), SECONDS):
                return Outcome(untested=_("no answer"))
            stream.reset()
        finally:
            stream.close()
        reset_at = route.reactor.seconds()
        while True:
            report = await route.report(ended=name)
            seconds = route.reactor.seconds() - reset_at
            if report.get("server") != route.far_end.seen.get("server"):
                return Outcome(untested=_("several servers answer, and each knows its own connections only"))
            ended = report.get("ended")
            if ended is not None or seconds > SECONDS:
                return judge(None if ended is None else str(ended), seconds)
            await sleep(route.reactor, _INTERVAL)
