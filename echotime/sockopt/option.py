"""What the catalogue's rows are made of: an option, where and when it is set, what the kernel makes of it.

Data types only; the rows are in rows/, the system calls in apply.py.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import Enum

from echotime.sockopt.values import N_, Value, ValueType

LEVELS = {"SOL_SOCKET": 1, "IPPROTO_IP": 0, "IPPROTO_TCP": 6, "IPPROTO_UDP": 17, "IPPROTO_IPV6": 41}
"""The levels of setsockopt(2) by name, as Linux numbers them."""

BOTH = ("tcp", "udp")
UDP = ("udp",)
TCP = ("tcp",)


class SocketRole(Enum):
    """A kind of socket as the kernel tells them apart; the value says it in words."""

    LISTENER = N_("TCP listener")
    CONNECTION = N_("connection")
    UDP = N_("UDP")

    @property
    def transport(self) -> str:
        """``tcp`` or ``udp``."""
        return "udp" if self is SocketRole.UDP else "tcp"


ALL_ROLES = tuple(SocketRole)
TCP_ROLES = (SocketRole.LISTENER, SocketRole.CONNECTION)


class SetDeadline(Enum):
    """Up to when setting an option has an effect; the value says it in words."""

    BEFORE_BIND = N_("before bind")
    BEFORE_CONNECTION = N_("before the connection; on a listener it holds for those to come")
    ANY_TIME = N_("at any time")


class OnAccept(Enum):
    """What becomes of a listener's option on the connections it accepts, on Linux."""

    INHERITED = N_("inherited")
    REDUCED = N_("inherited, less what TCP's own options take")
    LISTENER_ONLY = N_("not inherited: it concerns the listener")
    REAPPLIED = N_("not inherited: echotime sets it on each connection")


class Readable(Enum):
    """What getsockopt does; the value says it in words."""

    YES = N_("can be read")
    NO = N_("cannot be read back")
    ONCE = N_("is gone once it was read, so it is left alone on sockets in use")


@dataclass(frozen=True)
class SocketTraits:
    """A kind of socket: ``tcp`` or ``udp``, and the IP versions it speaks (a dual-stack one both)."""

    transport: str
    versions: frozenset[int]


@dataclass(frozen=True)
class Hazard:
    """Values that do on purpose what most do not want; `warning` is said at every start."""

    transports: tuple[str, ...]
    values: Container[Value]
    warning: str


@dataclass(frozen=True)
class ReadBackNote:
    """Why getsockopt may give another value than was set, and a value that shows it on `transport`."""

    reason: str
    example: str
    transport: str = "tcp"


@dataclass(frozen=True)
class Privilege:
    """What it takes to set `example`, where `initial` was set before."""

    required: str
    example: str
    initial: str = ""


@dataclass(frozen=True)
class Aliases:
    """What others call it: a directive of systemd.socket(5), an address option of socat(1); empty for none."""

    systemd: str = ""
    socat: str = ""

    def names(self) -> Iterator[tuple[str, str]]:
        """Who calls it what."""
        for program, name in (("systemd.socket", self.systemd), ("socat", self.socat)):
            if name:
                yield program, name


@dataclass(frozen=True)
class Option:
    """One row: what setsockopt is called with, and what is known of it."""

    level: str
    name: str
    number: int
    value_type: ValueType
    transports: tuple[str, ...]
    """Where it has an effect."""
    meaning: str
    use: str = ""
    """When one sets it."""
    caveat: str = ""
    """What goes wrong with it."""
    example: str = "on"
    """A value to try it with, which is not the default."""
    set_deadline: SetDeadline = SetDeadline.ANY_TIME
    on_accept: OnAccept = OnAccept.INHERITED
    settable: bool = True
    roles: tuple[SocketRole, ...] = ALL_ROLES
    """Where the kernel takes it (a read-only one: gives it), with an effect or without."""
    readable: Readable = Readable.YES
    read_number: int | None = None
    """The number to read it by, where that is another."""
    versions: tuple[int, ...] = ()
    """The IP versions it acts on, where the level does not say so: IP options are for 4, IPV6 options for 6."""
    privilege: Privilege | None = None
    read_back_note: ReadBackNote | None = None
    hazard: Hazard | None = None
    aliases: Aliases = Aliases()
    known: bool = True
    """False for one that is given by number: nothing is known of it."""

    @property
    def level_number(self) -> int:
        """The level as setsockopt wants it."""
        return LEVELS[self.level] if self.level in LEVELS else int(self.level)

    @property
    def ignored_roles(self) -> tuple[SocketRole, ...]:
        """Where the kernel takes it and nothing comes of it."""
        return tuple(place for place in self.roles if self.settable and place.transport not in self.transports)

    @property
    def ip_versions(self) -> tuple[int, ...]:
        """The IP versions it acts on."""
        return self.versions or {"IPPROTO_IP": (4,), "IPPROTO_IPV6": (6,)}.get(self.level, (4, 6))

    def fits(self, traits: SocketTraits) -> bool:
        """Whether it can have an effect on such a socket."""
        return traits.transport in self.transports and not traits.versions.isdisjoint(self.ip_versions)
