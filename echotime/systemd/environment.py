"""Read the variables by which a service manager passes sockets and its watchdog.

A variable that is meant for this process and is faulty raises InvalidEnvironment: the daemon must not start without
what it was given. One that is meant for another process is ignored, as sd_listen_fds(3) and sd_watchdog_enabled(3) do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

STARTED_PID = os.getpid()
"""Number of the process that was started. twistd without -n forks after the options are read."""
MAX_INT = 2**31 - 1
_SHOWN_CHARACTERS = 40


class InvalidEnvironment(Exception):
    """Report a variable that is faulty, and what is accepted."""


def initial_environ() -> Mapping[str, str]:
    """Return the environment with which this process was started.

    In os.environ LISTEN_PID and LISTEN_FDS may be missing: twisted.internet.endpoints removes them when imported, and
    twistd imports that module if its plugin cache is missing.
    """
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return os.environ
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _sign, value in pairs}


def number(environment: Mapping[str, str], name: str, maximum: int) -> int:
    """Return the number from 1 to `maximum` that a variable has. Raises InvalidEnvironment."""
    text = environment.get(name, "")
    # int() raises ValueError if there are more than 4300 digits
    if text.isascii() and text.isdigit() and len(text) <= len(str(maximum)) and 1 <= int(text) <= maximum:
        return int(text)
    given = f"{name}={text[:_SHOWN_CHARACTERS]}" if text else f"{name} is not set"
    raise InvalidEnvironment(f"environment: {given}: expected a number from 1 to {maximum}")


def other_process(environment: Mapping[str, str], name: str) -> str:
    """Return a text for the log if the variable `name` is set and names another process, "" otherwise.

    Raises InvalidEnvironment.
    """
    if not environment.get(name) or (pid := number(environment, name, MAX_INT)) == STARTED_PID:
        return ""
    return f"{name}={pid} is another process than this one ({STARTED_PID}); a script must start twistd by exec"
