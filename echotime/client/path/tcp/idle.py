"""Leave connections idle, and see if they still work."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from echotime.client.path.channel import together
from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.route import SECONDS, Route, token
from echotime.client.path.tcp.ended import by_server, how_it_ended
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_CONNECTIONS = 2


@dataclass(frozen=True)
class IdleConnection:
    """Hold what happened to a connection that was left idle."""

    end: str | None
    """How it ended within the idle time, None if it did not."""
    seconds: float
    """Idle time until the end, or until the next message."""
    answered: bool
    """True if the message after the idle time was answered."""
    ended_by: str | None = None
    """The server's name for the end. None if it still has the connection, or is not asked."""

    @property
    def works(self) -> bool:
        return self.end is None and self.answered


def judge(connections: Sequence[IdleConnection]) -> Outcome:
    """Return a finding if no connection survived the idle time, unless the server ended one itself."""
    first = connections[0]
    if any(each.works for each in connections):
        return Outcome(_("works after {seconds:.1f} s").format(seconds=first.seconds))
    for each in connections:
        if (outcome := by_server(each.ended_by)) is not None:
            return outcome
    values = {"end": first.end, "seconds": first.seconds}
    if all(each.end is not None for each in connections):
        seen = _("{end} after {seconds:.1f} s").format(end=first.end, seconds=first.seconds)
        return Outcome(findings=(Finding("idle-closed", seen, values),))
    seen = _("a message after {seconds:.1f} s is not answered").format(seconds=first.seconds)
    return Outcome(findings=(Finding("idle-dropped", seen, values),))


class IdleExperiment:
    """Exchange 16 bytes, wait, and exchange 16 more, on two connections."""

    name = N_("idle")
    needs_behavior = False
    runs = 1

    def __init__(self, limit: float) -> None:
        self._limit = limit

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        return judge(await together(self._observe(route) for _number in range(_CONNECTIONS)))

    async def _observe(self, route: Route) -> IdleConnection:
        name = secrets.token_hex(8)
        stream = await route.open("echo", id=name)
        try:
            data = token()
            await stream.send(data, SECONDS)
            await stream.read_until(route.answered(stream, data), SECONDS)
            idle_from = stream.seconds()
            await stream.read_to_end(self._limit)
            seconds = (stream.ended_at if stream.end else stream.seconds()) - idle_from
            end = stream.end
            if end is None:
                stream.received.clear()
                await stream.send(data, SECONDS)
                answered = await stream.read_until(lambda: data in stream.received, SECONDS)
                return IdleConnection(None, seconds, answered)
        finally:
            stream.close()
        return IdleConnection(end, seconds, answered=False, ended_by=await how_it_ended(route, name))
