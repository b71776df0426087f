"""Print errors and remarks on standard error: one line each, never a peer's raw bytes."""

from __future__ import annotations

import sys

from echotime.client.exit_status import ClientError, ExitStatus
from echotime.i18n.language import gettext as _


def print_error(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


def describe_error(error: ClientError) -> str:
    """Return the reason of a failure in the user's language."""
    texts = {
        ExitStatus.REFUSED: _("connection refused: nothing listens there"),
        ExitStatus.TIMED_OUT: _("timed out"),
        ExitStatus.RESET: _("connection reset by the server"),
        ExitStatus.NAME_NOT_FOUND: _("name not found"),
        ExitStatus.NO_ANSWER: _("no answer"),
    }
    text = texts.get(error.status)
    if text is None:
        return error.detail or _("wrong bytes")
    return f"{text} ({error.detail})" if error.status is ExitStatus.NAME_NOT_FOUND and error.detail else text


def report_error(server: object, error: ClientError) -> int:
    """Print a failure in one line, and return its exit status."""
    print_error(f"echotime: {server}: {describe_error(error)}")
    return int(error.status)
