"""`echotime send --repeat N`: many sessions, each checked, and a summary."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from echotime.clients.repeated import Outcome, Session, repeat
from echotime.clients.statistics import spread
from echotime.clients.status import Status
from echotime.command.report import reason
from echotime.locale.language import gettext as _

CONNECT_SECONDS = 30.0
"""How long connecting may take where no --timeout says so."""
_LARGEST_REPEATED = 2**24


async def send_repeatedly(reactor: Any, args: argparse.Namespace) -> int:
    """Carry it out; the exit status."""
    message = args.message
    if message is None:
        message = sys.stdin.buffer.read(_LARGEST_REPEATED + 1)
        if len(message) > _LARGEST_REPEATED:
            args.usage_error(_("a message that is repeated may have 16 MiB at most"))
    if not message:
        args.usage_error(_("with --repeat a message is needed"))
    timeout = args.timeout or CONNECT_SECONDS
    session = Session(reactor, args.server.host, args.server.port, message, args.ack, args.reply, timeout, args.sockopt)
    outcome = await repeat(session, args.repeat, args.parallel or 1)
    print(_summary(args.repeat, outcome))
    return _worst(args.repeat, outcome)


def _summary(sessions: int, outcome: Outcome) -> str:
    lines = [
        _("sessions: {sessions}, exact: {exact}, bytes lost: {lost}").format(
            sessions=sessions, exact=outcome.exact, lost=outcome.bytes_lost
        )
    ]
    if outcome.failures:
        counts = ", ".join(f"{reason(failed)}: {number}" for failed, number in outcome.failures.most_common())
        lines.append(_("failures by kind: {counts}").format(counts=counts))
    if outcome.times:
        lines.append(_("times of exact sessions: {spread}").format(spread=spread(outcome.times)))
    return "\n".join(lines)


def _worst(sessions: int, outcome: Outcome) -> int:
    if outcome.exact == sessions:
        return Status.OK
    kinds = {failed.status for failed in outcome.failures}
    return kinds.pop() if len(kinds) == 1 else Status.FAILED
