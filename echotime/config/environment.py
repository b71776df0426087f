"""Read options from the variable ECHOTIME_OPTIONS, as for a container, in which no shell expands a command line."""

from __future__ import annotations

import getopt
import shlex
from collections.abc import Mapping

from twisted.python.usage import Options, UsageError

from echotime.wire.escape import sanitize

_NAME = "ECHOTIME_OPTIONS"


def environment_words(environment: Mapping[str, str]) -> list[str]:
    """Return the words of ECHOTIME_OPTIONS, divided and unquoted as by a shell. Raises UsageError."""
    text = environment.get(_NAME, "")
    try:
        return shlex.split(text)
    except ValueError as error:
        fault = f"{str(error).lower()}; expected options quoted as in a shell"
        raise UsageError(f"{_NAME}={sanitize(text)}: {fault}") from None


def check_words(words: list[str], options: Options) -> None:
    """Raise UsageError, with GetoptError as its context, for words that getopt refuses."""
    try:
        getopt.getopt(words, options.shortOpt, options.longOpt)
    except getopt.GetoptError as error:
        raise UsageError(error.msg)  # noqa: B904 - describe_usage_error needs the context


def environment_note(words: list[str]) -> str:
    """Return the line that tells where options came from, which a user of the command line may not know."""
    return sanitize(f"{_NAME} follows the command line, and has: {shlex.join(words)}")
