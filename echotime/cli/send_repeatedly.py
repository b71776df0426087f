"""Implement `echotime send --repeat N`: run and verify many sessions, and print a summary."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from echotime.cli.output.last_handler import exit_with_error
from echotime.cli.output.progress import Progress
from echotime.cli.output.streams import print_text
from echotime.cli.output.verdict import describe_failure
from echotime.cli.proxy_arguments import proxy_header
from echotime.client.deadline import Deadline
from echotime.client.exit_status import ExitStatus
from echotime.client.load import EchoSession, LoadResult, run_load
from echotime.client.lookup import resolve
from echotime.client.stats import format_stats
from echotime.i18n.language import gettext as _

CONNECT_TIMEOUT = 30.0
"""Seconds that the name lookup and connecting may take, unless --timeout is given."""
_MAX_MESSAGE = 2**24


async def send_repeatedly(reactor: Any, args: argparse.Namespace) -> int:
    """Run all sessions, and return the exit status."""
    message = args.message
    if message is None:
        message = sys.stdin.buffer.read(_MAX_MESSAGE + 1)
        if len(message) > _MAX_MESSAGE:
            args.usage_error(_("with --repeat the message must not exceed 16 MiB"))
    if not message:
        args.usage_error(_("--repeat requires a message"))
    timeout = args.timeout or CONNECT_TIMEOUT
    addresses = await resolve(args.server, Deadline(reactor, timeout), args.family)
    session = EchoSession(
        reactor,
        addresses,
        message,
        args.ack,
        args.reply,
        lambda: Deadline(reactor, timeout),
        args.sockopt,
        proxy_header(args),
    )
    result = LoadResult()
    progress = Progress(
        reactor,
        not (args.quiet or args.no_progress),
        lambda seconds: _("{counts}, {seconds:.0f} s").format(counts=_counts(args.repeat, result), seconds=seconds),
    )
    interrupted: Deferred[None] = Deferred()

    def on_sigint(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        reactor.callFromThread(interrupted.callback, None)

    signal.signal(signal.SIGINT, on_sigint)
    load = Deferred.fromCoroutine(run_load(session, args.repeat, args.parallel or 1, result))
    await DeferredList([load, interrupted], fireOnOneCallback=True, fireOnOneErrback=True)
    progress.stop()
    print_text(*_summary(args.repeat, result))
    if interrupted.called:
        exit_with_error(KeyboardInterrupt())
    return _exit_status(args.repeat, result)


def _counts(sessions: int, result: LoadResult) -> str:
    """Return the counts, with the planned number of sessions if not all have ended."""
    ended = result.exact + sum(kind.count for kind in result.failures.values())
    return _("sessions: {sessions}, exact: {exact}, bytes lost: {lost}").format(
        sessions=sessions if ended == sessions else _("{ended} of {all}").format(ended=ended, all=sessions),
        exact=result.exact,
        lost=result.bytes_lost,
    )


def _summary(sessions: int, result: LoadResult) -> list[str]:
    lines = [_counts(sessions, result)]
    lines += [
        _("failures: {count}, first in session {session}: {reason}").format(
            count=kind.count, session=kind.session, reason=describe_failure(kind.first)
        )
        for kind in sorted(result.failures.values(), key=lambda kind: -kind.count)
    ]
    if result.times:
        lines.append(_("times of exact sessions: {spread}").format(spread=format_stats(result.times)))
    return lines


def _exit_status(sessions: int, result: LoadResult) -> int:
    if result.exact == sessions:
        return ExitStatus.OK
    statuses = {kind.first.status for kind in result.failures.values()}
    return statuses.pop() if len(statuses) == 1 else ExitStatus.FAILED
