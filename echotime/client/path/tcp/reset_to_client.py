"""Let the server reset a connection, and see what arrives."""

from __future__ import annotations

from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.route import SECONDS, Route, token
from echotime.client.path.tcp.stream import FIN, RST
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_


def judge(end: str | None, seconds: float) -> Outcome:
    """Return a finding if the server's RST arrived as a FIN, or not at all."""
    if end == RST:
        return Outcome(_("arrived as RST"))
    values = {"end": end, "seconds": seconds}
    if end is None:
        seen = _("the connection is open {seconds:.0f} s after the server reset it").format(seconds=SECONDS)
        return Outcome(findings=(Finding("reset-to-client-lost", seen, values),))
    if end == FIN:
        seen = _("the server's RST arrived as FIN")
        return Outcome(findings=(Finding("reset-to-client-as-fin", seen, values),))
    return Outcome(untested=_("the connection failed: {reason}").format(reason=end))


class ResetToClientExperiment:
    """Send 16 bytes, on which the server resets the connection."""

    name = N_("reset to client")
    needs_behavior = True
    runs = 3

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        stream = await route.open("reset_peer")
        try:
            sent_at = stream.seconds()
            await stream.send(token(), SECONDS)
            await stream.read_to_end(SECONDS)
            return judge(stream.end, stream.ended_at - sent_at if stream.end else SECONDS)
        finally:
            stream.close()
