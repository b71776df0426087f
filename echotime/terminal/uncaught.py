"""Describe an exception that nothing caught in one line, for a user who must not see a traceback."""

from __future__ import annotations

import traceback
from gettext import gettext as _
from pathlib import Path


def describe_exception(error: BaseException) -> str:
    """Return the reason of an exception, to be sanitized and printed as one line.

    Exceptions of the system and of echotime have messages for users. Any other one is a fault in the program, so its
    class and the line that raised it are added, for a report.
    """
    # gatherResults of Twisted wraps the first exception
    if failure := getattr(error, "subFailure", None):
        return describe_exception(failure.value)
    name = type(error).__name__
    if isinstance(error, MemoryError):
        return _("out of memory")
    if isinstance(error, OSError):
        reason = _(error.strerror) if error.strerror else str(error) or name
        return reason if error.filename is None else _("{name}: {reason}").format(name=error.filename, reason=reason)
    if isinstance(error, ImportError) or type(error).__module__.startswith("echotime."):
        return str(error) or name
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"internal error: {name}: {error}{where}"
