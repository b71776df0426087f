"""``[tcp:|udp:]NAME=VALUE`` as an option and a value, checked against the catalogue. No socket is touched."""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from gettext import gettext as _

from echotime.sockopt.catalogue.index import BY_KEY, BY_NAME
from echotime.sockopt.option import BOTH, LEVELS, OnAccept, Option, SocketTraits
from echotime.sockopt.values import N_, RawValue, Value

EXPECTED = N_("[tcp:|udp:]NAME=VALUE, as in SO_KEEPALIVE=on, or LEVEL:NUMBER=VALUE, as in 1:9=1")

EXPECTED_NAME = N_("a name as in SO_KEEPALIVE, or LEVEL:NUMBER as in 1:9")

_INT_MAX = 2**31 - 1
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|0|[1-9][0-9]{0,19}")
_LEVEL_NAMES = {number: name for name, number in LEVELS.items()}


@dataclass(frozen=True)
class Assignment:
    """An option and the value asked for it; `transport` is where, None for wherever it fits."""

    option: Option
    value: Value
    transport: str | None = None

    def fits(self, traits: SocketTraits) -> bool:
        """Whether it is meant for such a socket."""
        return self.transport in {None, traits.transport} and self.option.fits(traits)

    def __str__(self) -> str:
        scope = f"{self.transport}:" if self.transport else ""
        return f"{scope}{self.option.name}={self.option.value_type.show(self.value)}"


def parse(text: str) -> Assignment:
    """The assignment that `text` asks for.

    Raises ValueError for an unknown name (with the nearest), a value out of its form, a read-only
    option, or a transport on which the option can have no effect.
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
        raise ValueError(f"{option.name}: {fault}") from None


def example(option: Option) -> Assignment:
    """The value that its row has to try it with."""
    return Assignment(option, option.value_type.parse(option.example))


def no_effect_message(option: Option, transport: str) -> str:
    """The sentence that says where an option would have an effect instead."""
    return _("{name} has no effect on a {transport} socket; it acts on {others}").format(
        name=option.name, transport=transport.upper(), others=", ".join(option.transports).upper()
    )


def select_assignments(assignments: Iterable[Assignment], traits: SocketTraits) -> tuple[Assignment, ...]:
    """Those meant for such a socket, in the catalogue's order; of several for one option the last."""
    last = {_key(each.option): each for each in assignments if each.fits(traits)}
    order = {key: place for place, key in enumerate(BY_KEY)}
    return tuple(sorted(last.values(), key=lambda each: order.get(_key(each.option), len(order))))


def _key(option: Option) -> tuple[int, int]:
    return option.level_number, option.number


def lookup(name: str) -> Option:
    """The option of a name, in any case, with - or _, or of LEVEL:NUMBER. Raises ValueError with the nearest."""
    level, colon, number = name.partition(":")
    if colon:
        return _lookup_number(level, number)
    plain = name.upper().replace("-", "_")
    if plain in BY_NAME:
        return BY_NAME[plain]
    if number := _python_level_and_number(plain):
        raise ValueError(_("{name} is known by number only: {number}").format(name=plain, number=number))
    near = difflib.get_close_matches(plain, BY_NAME, n=1, cutoff=0.5)
    if near:
        raise ValueError(_("unknown option '{name}'; the nearest is {near}").format(name=name, near=near[0]))
    raise ValueError(_("unknown option '{name}'; expected {form}").format(name=name, form=_(EXPECTED_NAME)))


def _python_level_and_number(name: str) -> str:
    """LEVEL:NUMBER of an option that has no row, and that this Python has a name for; else empty."""
    prefix, underscore, _rest = name.partition("_")
    level = {"SO": "SOL_SOCKET", "IP": "IPPROTO_IP", "IPV6": "IPPROTO_IPV6", "TCP": "IPPROTO_TCP"}.get(prefix)
    number = getattr(socket, name, None)
    return f"{level}:{number}" if level and underscore and isinstance(number, int) else ""


def _lookup_number(level: str, number: str) -> Option:
    """The row of a level and number, or one made for them with nothing known of it."""
    texts = (str(LEVELS.get(level.upper(), level)), number)
    if not all(map(_NUMBER.fullmatch, texts)):
        raise ValueError(
            _("{level}:{number} is no option by number; expected {form}").format(
                level=level, number=number, form=_(EXPECTED)
            )
        )
    key = int(texts[0], 0), int(texts[1], 0)
    if max(key) > _INT_MAX:
        raise ValueError(
            _("{level}:{number} is no option by number; level and number are 0 to {most}").format(
                level=level, number=number, most=_INT_MAX
            )
        )
    if key in BY_KEY:
        return BY_KEY[key]
    return Option(
        level=_LEVEL_NAMES.get(key[0], str(key[0])),
        name=f"{level}:{number}",
        number=key[1],
        value_type=RawValue(),
        transports=BOTH,
        meaning="An option given by number.",
        versions=(4, 6),
        on_accept=OnAccept.REAPPLIED,
        known=False,
    )
