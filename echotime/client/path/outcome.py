"""Hold what an experiment found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from echotime.i18n.language import gettext as _
from echotime.wire.hostport import HostPort

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Finding:
    """Describe one thing that the path does. What it means, and what usually does it, follow from its name."""

    id: str
    """Key of `MEANINGS`; scripts rely on it."""
    seen: str
    """What was seen, in the user's language."""
    values: Mapping[str, Value] = field(default_factory=dict, hash=False)
    """The same for programs. Times are in seconds."""


@dataclass(frozen=True)
class Outcome:
    """Hold the result of an experiment. It was not carried out to the end if `untested` has a reason."""

    seen: str = ""
    """What was seen where nothing was found."""
    findings: tuple[Finding, ...] = ()
    untested: str = ""
    """Why it could not be tested, and what would allow it."""
    unconfirmed: str = ""
    """A finding that was seen once, and not again."""


@dataclass(frozen=True)
class FarEnd:
    """Hold what is known of the server after the first message."""

    version: str
    """Version of echotime whose clients may name behaviors, or "" for any other echo server."""
    trailer: bytes | None
    """What follows each echo. None if it is not the same each time."""
    seen: Mapping[str, Value]
    """The server's report of the connection, empty unless clients may name behaviors."""
    own: HostPort
    """The client's own address on the connection of the report."""

    @property
    def behaves(self) -> bool:
        """Return True if a client may name the behavior of its connection."""
        return bool(self.version)


def duration(seconds: float) -> str:
    """Return a duration in the user's language, in milliseconds below one second."""
    if seconds < 1:
        return _("{ms:.1f} ms").format(ms=seconds * 1000)
    return _("{seconds:.1f} s").format(seconds=seconds)
