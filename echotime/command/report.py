"""What is said to a person on standard error: one line a failure, and remarks. Never a peer's raw bytes."""

from __future__ import annotations

import sys

from echotime.clients.status import ClientFailed, Status
from echotime.locale.language import gettext as _


def say(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr, flush=True)


def reason(failed: ClientFailed) -> str:
    """Why it failed, in the user's language; with the system's own word where that says more."""
    texts = {
        Status.REFUSED: _("connection error! refused: nobody listens there"),
        Status.TIMED_OUT: _("timed out"),
        Status.RESET: _("connection error! reset by the server"),
        Status.NAME_NOT_FOUND: _("name not found"),
        Status.NO_ANSWER: _("no answer"),
    }
    text = texts.get(failed.status)
    if text is None:
        return failed.detail or _("wrong bytes")
    return f"{text} ({failed.detail})" if failed.status is Status.NAME_NOT_FOUND and failed.detail else text


def say_failed(where: object, failed: ClientFailed) -> int:
    """One line; the exit status."""
    say(f"echotime: {where}: {reason(failed)}")
    return int(failed.status)
