"""Open missing standard streams and print lines and errors.

The tools print through this module, because it escapes what is not printable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from echotime.cli.output.last_handler import exit_with_error
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.i18n.language import gettext as _
from echotime.wire.escape import sanitize


def open_missing_streams() -> None:
    """Open /dev/null for standard streams that are closed. Escape characters that the terminal cannot show."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def print_line(text: str) -> None:
    """Print a line with unprintable characters escaped, and flush it."""
    print_lines([text])


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as `print_line` does. End the program on an error, which the reactor would only log."""
    try:
        print("\n".join(map(sanitize, lines)), flush=True)
    except OSError as error:
        exit_with_error(error)


def print_error(text: str) -> None:
    """Print a line on standard error, with unprintable characters escaped."""
    print(sanitize(text), file=sys.stderr, flush=True)


def describe_error(error: ClientError) -> str:
    """Return the reason of a failure in the user's language."""
    texts = {
        ExitStatus.REFUSED: _("connection refused: nothing listens on that port"),
        ExitStatus.TIMED_OUT: _("timed out"),
        ExitStatus.RESET: _("connection reset by the server"),
        ExitStatus.NAME_NOT_FOUND: _("name not found"),
        ExitStatus.NO_ANSWER: error.detail or _("no answer"),
    }
    text = texts.get(error.status)
    if text is None:
        return error.detail or _("wrong bytes")
    return f"{text} ({error.detail})" if error.status is ExitStatus.NAME_NOT_FOUND and error.detail else text


def report_error(server: object, error: ClientError) -> int:
    """Print a failure in one line, and return its exit status."""
    print_error(f"echotime: {server}: {describe_error(error)}")
    return int(error.status)
