"""Open missing standard streams and print lines and errors.

The tools print through this module, because it escapes what is not printable.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from echotime.cli.output.last_handler import exit_with_error
from echotime.cli.output.terminal_sink import TerminalSink
from echotime.client.exit_status import ClientError, ExitStatus
from echotime.i18n.language import gettext as _
from echotime.terminal.columns import Heading, fit
from echotime.wire.escape import sanitize

_BOLD = "\x1b[1m%s\x1b[0m"


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
        print("\n".join(map(render, lines)), flush=True)
    except OSError as error:
        exit_with_error(error)


def print_text(*lines: str) -> None:
    """Print lines as `print_lines` does. On a terminal, lines that are too long are wrapped."""
    print_lines(each for line in lines for each in fit(sanitize(line)))


def print_error(text: str) -> None:
    """Print a line on standard error, with unprintable characters escaped, and wrapped on a terminal.

    It is not appended to what a server sent.
    """
    TerminalSink.end_line()
    print("\n".join(fit(sanitize(text), stream=sys.stderr)), file=sys.stderr, flush=True)


def render(line: str) -> str:
    """Return a line for standard output: with unprintable characters escaped, and a heading in bold on a terminal."""
    return _BOLD % sanitize(line) if isinstance(line, Heading) and line and _has_styles(sys.stdout) else sanitize(line)


def _has_styles(stream: TextIO) -> bool:
    """Return True if the stream is a terminal that can show bold text, and the user allows it (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def describe_error(error: ClientError) -> str:
    """Return the reason of a failure in the user's language."""
    texts = {
        ExitStatus.REFUSED: _("connection refused: nothing listens on that port, or a firewall rejects it"),
        ExitStatus.TIMED_OUT: error.detail or _("timed out"),
        ExitStatus.RESET: _("connection reset by the server"),
        ExitStatus.NAME_NOT_FOUND: _("name not found"),
        ExitStatus.NO_ANSWER: error.detail or _("no answer"),
    }
    text = texts.get(error.status)
    if text is None:
        return error.detail or _("wrong bytes")
    if error.status is ExitStatus.NAME_NOT_FOUND and error.detail:
        return _("{reason} ({name})").format(reason=text, name=error.detail)
    return text


def report_error(server: object, error: ClientError) -> int:
    """Print a failure in one line, and return its exit status."""
    print_error("echotime: " + _("{server}: {reason}").format(server=server, reason=describe_error(error)))
    return int(error.status)
