"""Define the data types of the catalogue: an option, the sockets that accept it, and how the kernel treats it.

The rows are in catalogue/, the system calls in apply.py.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from echotime.sockopt.values import N_, Value, ValueType

LEVELS = {"SOL_SOCKET": 1, "IPPROTO_IP": 0, "IPPROTO_TCP": 6, "IPPROTO_UDP": 17, "IPPROTO_IPV6": 41}
"""The levels of setsockopt(2) by name, as Linux numbers them."""

BOTH = ("tcp", "udp")
UDP = ("udp",)
TCP = ("tcp",)


class SocketRole(Enum):
    """Distinguish the kinds of sockets; the value is the name shown to users."""

    LISTENER = N_("TCP listener")
    CONNECTION = N_("connection")
    UDP = N_("UDP")

    @property
    def transport(self) -> str:
        return "udp" if self is SocketRole.UDP else "tcp"


ALL_ROLES = tuple(SocketRole)
TCP_ROLES = (SocketRole.LISTENER, SocketRole.CONNECTION)


class SetDeadline(Enum):
    """Define until when setting an option has an effect; the value is the text shown to users."""

    BEFORE_BIND = N_("before bind")
    BEFORE_CONNECTION = N_("before the connection is established; on a listener, for future connections")
    ANY_TIME = N_("at any time")


class OnAccept(Enum):
    """Define what an accepted connection gets from its listener, on Linux; the value is the text shown to users."""

    INHERITED = N_("inherited")
    REDUCED = N_("inherited, minus the size of the TCP options")
    LISTENER_ONLY = N_("not inherited: it applies to the listener only")
    REAPPLIED = N_("not inherited: echotime sets it on each connection")


class Readable(Enum):
    """Define whether getsockopt returns the option; the value is the text shown to users."""

    YES = N_("can be read")
    NO = N_("cannot be read back")
    ONCE = N_("is cleared by reading it, so echotime does not read it on sockets in use")


@dataclass(frozen=True)
class SocketTraits:
    """Describe a socket: ``tcp`` or ``udp``, and its IP versions (both for a dual-stack socket)."""

    transport: str
    versions: frozenset[int]


@dataclass(frozen=True)
class Hazard:
    """Name the values for which a warning is logged at every start."""

    transports: tuple[str, ...]
    values: Container[Value]
    warning: str


@dataclass(frozen=True)
class ReadBackNote:
    """Explain why getsockopt returns another value than was set, with an example value that shows it."""

    reason: str
    example: str
    transport: str = "tcp"


@dataclass(frozen=True)
class Privilege:
    """Name the capability required to set `example` on a socket where `initial` was set before."""

    required: str
    example: str
    initial: str = ""


@dataclass(frozen=True)
class Aliases:
    """Name the directive of systemd.socket(5) and the address option of socat(1); empty for none."""

    systemd: str = ""
    socat: str = ""

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield the programs that know the option, each with its name for it."""
        for program, name in (("systemd.socket", self.systemd), ("socat", self.socat)):
            if name:
                yield program, name


class Definition(NamedTuple):
    """Define an option as the kernel does: the arguments of setsockopt(2), and the sockets that accept it."""

    level: str
    name: str
    number: int
    value_type: ValueType
    transports: tuple[str, ...] = BOTH
    """The transports on which the option has an effect."""
    roles: tuple[SocketRole, ...] = ALL_ROLES
    """The sockets on which the kernel accepts the option, with an effect or without; read-only: returns it."""


@dataclass(frozen=True)
class Option:
    """Describe one socket option: a row of the catalogue."""

    definition: Definition
    meaning: str
    use: str = ""
    caveat: str = ""
    example: str = "on"
    """A value to try; not the default."""
    set_deadline: SetDeadline = SetDeadline.ANY_TIME
    on_accept: OnAccept = OnAccept.INHERITED
    settable: bool = True
    readable: Readable = Readable.YES
    read_number: int | None = None
    """The number for getsockopt, None if it is the same as for setsockopt; see number_read."""
    versions: tuple[int, ...] = ()
    """The IP versions on which the option acts; empty: IPPROTO_IP on 4, IPPROTO_IPV6 on 6, other levels on both."""
    privilege: Privilege | None = None
    read_back_note: ReadBackNote | None = None
    hazard: Hazard | None = None
    aliases: Aliases = Aliases()
    known: bool = True
    """False for an option given by number that is not in the catalogue."""

    @property
    def level(self) -> str:
        return self.definition.level

    @property
    def level_number(self) -> int:
        return LEVELS[self.level] if self.level in LEVELS else int(self.level)

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def number(self) -> int:
        return self.definition.number

    @property
    def number_read(self) -> int:
        """Return the option number that getsockopt(2) takes."""
        return self.number if self.read_number is None else self.read_number

    @property
    def value_type(self) -> ValueType:
        return self.definition.value_type

    @property
    def transports(self) -> tuple[str, ...]:
        return self.definition.transports

    @property
    def roles(self) -> tuple[SocketRole, ...]:
        return self.definition.roles

    @property
    def ignored_roles(self) -> tuple[SocketRole, ...]:
        """The sockets on which the kernel accepts the option without any effect."""
        return tuple(role for role in self.roles if self.settable and role.transport not in self.transports)

    @property
    def ip_versions(self) -> tuple[int, ...]:
        """The IP versions on which the option acts."""
        return self.versions or {"IPPROTO_IP": (4,), "IPPROTO_IPV6": (6,)}.get(self.level, (4, 6))

    def fits(self, traits: SocketTraits) -> bool:
        """Return True if the option can have an effect on such a socket."""
        return traits.transport in self.transports and not traits.versions.isdisjoint(self.ip_versions)
