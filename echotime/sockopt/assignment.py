"""Parse ``[tcp:|udp:]NAME=VALUE`` and check it against the catalogue, without any socket."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from gettext import gettext as _

from echotime.sockopt.catalogue.index import BY_KEY, BY_NAME
from echotime.sockopt.nearest import nearest
from echotime.sockopt.option import BOTH, LEVELS, Definition, OnAccept, Option, SocketTraits
from echotime.sockopt.values import N_, RawValue, Value

EXPECTED = N_("[tcp:|udp:]NAME=VALUE, as in SO_KEEPALIVE=on, or LEVEL:NUMBER=VALUE, as in 1:9=1")

EXPECTED_NAME = N_("a name as in SO_KEEPALIVE, or LEVEL:NUMBER as in 1:9")

_INT_MAX = 2**31 - 1
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{0,19}")
_LEVEL_NAMES = {number: name for name, number in LEVELS.items()}


@dataclass(frozen=True)
class Assignment:
    """Request a value for an option; `transport` None stands for every transport on which it has an effect."""

    option: Option
    value: Value
    transport: str | None = None

    def fits(self, traits: SocketTraits) -> bool:
        """Return True if the assignment applies to such a socket."""
        return self.transport in {None, traits.transport} and self.option.fits(traits)

    def __str__(self) -> str:
        scope = f"{self.transport}:" if self.transport else ""
        return f"{scope}{self.option.name}={self.option.value_type.show(self.value)}"


def parse(text: str) -> Assignment:
    """Return the assignment that `text` requests.

    Raises ValueError for an unknown name (with the nearest one), an invalid value, a read-only option, or a transport
    on which the option has no effect.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(_("expected {form}").format(form=_(EXPECTED)))
    scope, colon, rest = name.partition(":")
    transport = scope.lower() if colon and scope.lower() in BOTH else None
    option = lookup(rest if transport else name)
    if not option.settable:
        raise ValueError(_("{name} is read-only").format(name=option.name))
    if transport and transport not in option.transports:
        raise ValueError(no_effect_message(option, transport))
    try:
        return Assignment(option, option.value_type.parse(value), transport)
    except ValueError as fault:
        raise ValueError(_("{name}: {reason}").format(name=option.name, reason=fault)) from None


def example(option: Option) -> Assignment:
    """Return an assignment of the example value."""
    return Assignment(option, option.value_type.parse(option.example))


def no_effect_message(option: Option, transport: str) -> str:
    """Return an error message that names the transports on which the option has an effect."""
    return _("{name} has no effect on a {transport} socket; it acts on {others}").format(
        name=option.name, transport=transport.upper(), others=_(", ").join(option.transports).upper()
    )


def select_assignments(assignments: Iterable[Assignment], traits: SocketTraits) -> tuple[Assignment, ...]:
    """Return the assignments for such a socket, in catalogue order; the last one for an option wins."""
    last = {_key(each.option): each for each in assignments if each.fits(traits)}
    order = {key: place for place, key in enumerate(BY_KEY)}
    return tuple(sorted(last.values(), key=lambda each: order.get(_key(each.option), len(order))))


def _key(option: Option) -> tuple[int, int]:
    return option.level_number, option.number


def lookup(name: str) -> Option:
    """Return the option for a name (in any case, with - or _) or LEVEL:NUMBER. Raises ValueError."""
    level, colon, number = name.partition(":")
    if colon:
        return _lookup_number(level, number)
    plain = name.upper().replace("-", "_")
    if plain in BY_NAME:
        return BY_NAME[plain]
    if number := _python_level_and_number(plain):
        raise ValueError(_("{name} can only be given by number: {number}").format(name=plain, number=number))
    if near := nearest(plain, BY_NAME):
        raise ValueError(_("unknown option '{name}'; the nearest is {near}").format(name=name, near=near))
    raise ValueError(_("unknown option '{name}'; expected {form}").format(name=name, form=_(EXPECTED_NAME)))


def _python_level_and_number(name: str) -> str:
    """Return LEVEL:NUMBER of an option that Python names and the catalogue does not, or an empty string."""
    prefix, underscore, _rest = name.partition("_")
    level = {"SO": "SOL_SOCKET", "IP": "IPPROTO_IP", "IPV6": "IPPROTO_IPV6", "TCP": "IPPROTO_TCP"}.get(prefix)
    number = getattr(socket, name, None)
    return f"{level}:{number}" if level and underscore and isinstance(number, int) else ""


def _lookup_number(level: str, number: str) -> Option:
    """Return the row for a level and number, or an option of which nothing else is known."""
    texts = (str(LEVELS.get(level.upper(), level)), number)
    if not all(map(_NUMBER.fullmatch, texts)):
        raise ValueError(
            _("invalid option number {level}:{number}; expected {form}").format(
                level=level, number=number, form=_(EXPECTED)
            )
        )
    key = int(texts[0], 0), int(texts[1], 0)
    if max(key) > _INT_MAX:
        raise ValueError(
            _("invalid option number {level}:{number}; level and number must be 0 to {most}").format(
                level=level, number=number, most=_INT_MAX
            )
        )
    if key in BY_KEY:
        return BY_KEY[key]
    return Option(
        Definition(_LEVEL_NAMES.get(key[0], str(key[0])), f"{level}:{number}", key[1], RawValue()),
        meaning="An option given by number.",
        versions=(4, 6),
        on_accept=OnAccept.REAPPLIED,
        known=False,
    )
