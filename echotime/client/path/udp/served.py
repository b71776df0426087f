"""Send datagrams, and see if they are answered, and from which address."""

from __future__ import annotations

from collections.abc import Sequence

from echotime.client.path.outcome import Finding, Outcome
from echotime.client.path.route import Route
from echotime.client.path.udp.datagrams import Datagrams
from echotime.i18n.language import gettext as _
from echotime.sockopt.values import N_
from echotime.wire.hostport import HostPort

_TRIES = 6
_SECONDS = 0.5
"""Time after each try, unless an answer or an error ends it. Later answers count, too."""
_NO_SECONDS = 0.0
_REFUSED = "ECONNREFUSED"


def judge(
    answers: int, others: Sequence[HostPort], errors: Sequence[str], asked: HostPort, *, expected: bool
) -> Outcome:
    """Return a finding if no answer came from the address that was asked.

    If none is `expected`, because the server may have no UDP service, silence and ICMP errors are no finding.
    """
    if answers:
        return Outcome(_("answered"))
    if others:
        seen = _("sent to {asked}, answered from {server}").format(asked=asked, server=others[0])
        return Outcome(findings=(Finding("udp-other-address", seen, {"sent": str(asked), "seen": str(others[0])}),))
    if not expected and _REFUSED in errors:
        return Outcome(untested=_("refused (ICMP): the server has no such service, or a firewall rejects UDP"))
    if not expected:
        return Outcome(untested=_("no answer over UDP, and the server may have no such service"))
    if errors:
        name = "udp-refused" if _REFUSED in errors else "udp-unanswered"
        return Outcome(
            findings=(
                Finding(
                    name,
                    _("the error {name}, from the network or of this host").format(name=errors[0]),
                    {"error": errors[0]},
                ),
            )
        )
    seen = _("no answer to {tries} datagrams").format(tries=_TRIES)
    return Outcome(findings=(Finding("udp-unanswered", seen, {"tries": _TRIES}),))


class UdpServedExperiment:
    """Send up to 6 datagrams of 1 byte, each from another port, because some ports may be lost on the path."""

    name = N_("udp")
    needs_behavior = False
    runs = 1

    async def run(self, route: Route) -> Outcome:
        """Carry out the experiment once."""
        tries: list[Datagrams] = []
        try:
            while len(tries) < _TRIES and not any(each.answers for each in tries):
                datagrams = Datagrams(route.reactor, route.address)
                tries.append(datagrams)
                datagrams.send(b"x")
                await datagrams.wait(lambda: bool(datagrams.answers or datagrams.errors), _SECONDS)  # noqa: B023
            for each in tries:
                await each.wait_for_answer(_NO_SECONDS)
        finally:
            for each in tries:
                each.close()
        answers = sum(len(each.answers) for each in tries)
        others = [one.sender for each in tries for one in each.arrivals if one not in each.answers]
        errors = [error for each in tries for error in each.errors]
        return judge(answers, others, errors, route.address.hostport, expected=route.far_end.behaves)
