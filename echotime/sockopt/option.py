"""What the catalogue's rows are made of: an option, when it must be set, what becomes of it on accept.

Data types only; the rows are in catalogue.py, the system calls in apply.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from echotime.sockopt.forms import Form, Value

LEVELS = {"SOL_SOCKET": 1, "IPPROTO_IP": 0, "IPPROTO_TCP": 6, "IPPROTO_UDP": 17, "IPPROTO_IPV6": 41}
"""The levels of setsockopt(2) by name, as Linux numbers them."""


class Moment(Enum):
    """Up to when setting an option has an effect; the value says it in words."""

    BEFORE_BIND = "before bind"
    BEFORE_LISTEN = "before listen"
    ANY_TIME = "at any time"


class OnAccept(Enum):
    """What becomes of a listener's option on the connections it accepts, on Linux."""

    INHERITED = "inherited"
    LISTENER_ONLY = "not inherited: it concerns the listener"
    SET_AGAIN = "not inherited: echotime sets it on each connection"


@dataclass(frozen=True)
class Target:
    """A kind of socket: ``tcp`` or ``udp``, and the IP versions it speaks (a dual-stack one both)."""

    transport: str
    versions: frozenset[int]


@dataclass(frozen=True)
class Danger:
    """A value that does on purpose what most do not want; `warning` is said at every start."""

    transport: str
    value: Value
    warning: str


@dataclass(frozen=True)
class Option:
    """One row: what setsockopt is called with, and what is known of it."""

    level: str
    name: str
    number: int
    form: Form
    transports: tuple[str, ...]
    """Where it has an effect; elsewhere the kernel refuses it or takes it and ignores it."""
    meaning: str
    moment: Moment = Moment.ANY_TIME
    on_accept: OnAccept = OnAccept.INHERITED
    settable: bool = True
    versions: tuple[int, ...] = ()
    """The IP versions it acts on, where the level does not say so: IP options are for 4, IPV6 options for 6."""
    privilege: str = ""
    altered: str = ""
    """Why getsockopt may give another value than was set."""
    trap: str = ""
    danger: Danger | None = None

    @property
    def level_number(self) -> int:
        """The level as setsockopt wants it."""
        return LEVELS[self.level] if self.level in LEVELS else int(self.level)

    def fits(self, target: Target) -> bool:
        """Whether it can have an effect on such a socket."""
        versions = self.versions or {"IPPROTO_IP": (4,), "IPPROTO_IPV6": (6,)}.get(self.level, (4, 6))
        return target.transport in self.transports and not target.versions.isdisjoint(versions)
