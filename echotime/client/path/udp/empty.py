"""Send empty datagrams beside others, and see if they are answered, too."""

from __future__ import annotations

from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.rounds import ask_in_rounds
from echotime.client.path.route import Route
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_

_SOCKETS = 4
_ROUNDS = 3


def judge(empty: int, other: int) -> Outcome:
    """Return a finding if, of as many of each, all other datagrams were answered and no empty one."""
    if empty:
        return Outcome(_("answered"))
    if other < _SOCKETS:
        return Outcome(untested=_("too many datagrams are lost"))
    seen = _("no answer to {tries} empty datagrams, and to all others").format(tries=_SOCKETS * _ROUNDS)
    return Outcome(findings=(Finding("udp-empty-lost", seen, {"tries": _SOCKETS * _ROUNDS}),))


class UdpEmptyExperiment:
    """Send empty datagrams and those of 1 byte from 4 sockets each, up to 3 times."""

    name = N_("udp empty")
    needs_behavior = False
    runs = 1

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        requests = [b"", b"x"] * _SOCKETS
        asked = await ask_in_rounds(route, requests, _ROUNDS)
        answered = [data for data, each in zip(requests, asked, strict=True) if each.answers]
        return judge(answered.count(b""), answered.count(b"x"))
