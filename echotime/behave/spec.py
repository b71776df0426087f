"""Behavior: what a listener of --behave does, as ``KIND[:PARAMETER=VALUE,...]``.

A kind is a class with a `name`. Its parameters are the attributes of type Parameter, which give their own values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, overload

from echotime.sockopt.nearest import nearest
from echotime.wire.hostport import HostPort

T = TypeVar("T")
MAX_TEXT = 256
"""Longest text of a behavior, so that a list of them fits into one message of the control socket."""


@dataclass(frozen=True)
class Behavior:
    """Hold the name of a kind, and the values of the parameters that were given."""

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.kind


class BehavingAddress(NamedTuple):
    """Hold a value of --behave: an address, and the behavior of the listener there. None closes the listener."""

    address: HostPort
    behavior: Behavior | None

    def __str__(self) -> str:
        return f"{self.address}={self.behavior or 'off'}"


class HasValues(Protocol):
    """Give a Parameter the values that were given."""

    values: Mapping[str, Any]


class Parameter(Generic[T]):
    """Declare a parameter of a kind, as an attribute of its class. The attribute of an object is the value.

    `parse` returns the value of a text, or raises ValueError with what is accepted. `shown_default` is for the
    documentation; it is the default itself if it is empty. `name` is that of the attribute if it is empty.
    """

    def __init__(
        self, parse: Callable[[str], Any], default: T, help_text: str, shown_default: str = "", name: str = ""
    ) -> None:
        self.parse = parse
        self.default = default
        self.help = help_text
        self.shown_default = shown_default or (f"{default:g}" if isinstance(default, float) else str(default))
        self.name = name

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = self.name or name

    @overload
    def __get__(self, instance: None, owner: type) -> Parameter[T]: ...

    @overload
    def __get__(self, instance: HasValues, owner: type) -> T: ...

    def __get__(self, instance: HasValues | None, owner: type) -> Parameter[T] | T:
        return self if instance is None else instance.values.get(self.name, self.default)


class Kind(Protocol):
    """A class of behaviors: TCPBehavior, UDPBehavior, or one of their subclasses."""

    name: ClassVar[str]


def parameters_of(kind: type[Kind]) -> dict[str, Parameter[Any]]:
    """Return the parameters of a kind by name: its own in the order of declaration, then those of all kinds."""
    declared = (one for each in kind.__mro__ for one in vars(each).values() if isinstance(one, Parameter))
    found: dict[str, Parameter[Any]] = {}
    for each in declared:
        found.setdefault(each.name, each)
    return found


def parse_behavior(text: str, kinds: Iterable[type[Kind]], others: Iterable[str] = ()) -> Behavior:
    """Parse ``KIND[:PARAMETER=VALUE,...]``. A hyphen stands for an underscore. Raises ValueError.

    The error names `others`, too, which the caller accepts in place of a kind.
    """
    if len(text) > MAX_TEXT:
        raise ValueError(f"a behavior must have at most {MAX_TEXT} characters")
    kind_text, colon, rest = text.partition(":")
    by_name: dict[str, dict[str, Parameter[Any]]] = {}
    for one in kinds:
        # a kind of both transports has the parameters of both
        by_name.setdefault(one.name, {}).update(parameters_of(one))
    kind = kind_text.replace("-", "_")
    if kind not in by_name:
        begin = re.split(r"\W", kind, maxsplit=1)[0]
        if begin in by_name:
            form = f"{begin}:PARAMETER=VALUE"
            raise ValueError(f"'{kind_text}' is not a behavior; a colon follows the kind, as in {form}")
        names = [*by_name, *others]
        near = nearest(kind.lower(), names)
        hint = f"; the nearest is {near}" if near else ""
        raise ValueError(f"'{kind_text}' is not a behavior{hint}; expected one of {', '.join(names)}")
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for each in rest.split(",") if colon else ():
        name, equals, value = each.partition("=")
        name = name.replace("-", "_")
        parameter = by_name[kind].get(name)
        if parameter is None:
            expected = ", ".join(by_name[kind]) or "none"
            raise ValueError(f"{kind} has no parameter '{name}'; expected {expected}")
        if not equals:
            raise ValueError(f"{name} lacks a value; expected {name}=VALUE")
        if name in values:
            raise ValueError(f"{name} is given twice")
        try:
            values[name] = parameter.parse(value)
        except ValueError as error:
            raise ValueError(f"{name}={value}: {error}") from None
        texts[name] = value
    listed = ",".join(f"{name}={value}" for name, value in texts.items())
    return Behavior(kind, values, f"{kind}:{listed}" if listed else kind)
