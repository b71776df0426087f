"""Options declared as fields of a dataclass. Parsing, help, completion, documentation and reload derive from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from echotime.services.answer_text import answer_text
from echotime.wire.escape import escape
from echotime.wire.parsers import non_negative_int, non_negative_seconds, positive_int, positive_seconds

P = ParamSpec("P")
T = TypeVar("T")
_METAVARS: dict[Callable[[str], Any], tuple[str, str]] = {
    answer_text: ("TEXT", ""),
    positive_int: ("N", "1 or more"),
    non_negative_int: ("N", "0 or more"),
    positive_seconds: ("TIME", "more than 0"),
    non_negative_seconds: ("TIME", "0 or more"),
}
"""Metavar and accepted values of an option, by its parser."""


@dataclass(frozen=True)
class OptionSpec:
    """Describe one option: its parser, its name and its documentation."""

    parse: Callable[[str], Any] | None
    """Returns the value of a text, or raises ValueError. None for a switch."""
    help: str
    """Sentences for --help, the man page and docs/options.md."""
    metavar: str = ""
    """Empty for the one that `_METAVARS` has for the parser."""
    accepts: str = ""
    """The accepted values, for docs/options.md. By default those of `_METAVARS`."""
    shown_default: str = ""
    """Shown instead of the field's default."""
    example: str = ""
    """A value as it is typed on the command line."""
    section: str = ""
    """Title of the group that begins with this option."""
    name: str = ""
    """The option without its dashes. Empty for the field's name with dashes for underscores."""
    letter: str = ""
    """The short form, without its dash."""
    old_names: tuple[str, ...] = ()
    """Earlier names. They are accepted and not documented."""
    choices: tuple[str, ...] = ()
    """Values that a shell completes."""
    repeatable: bool = False
    reloadable: bool = False
    """True if a reload can apply a new value."""
    is_path: bool = False
    """True for a path, which is relative to the directory in which the daemon was started."""
    transport: str = ""
    """The transport, "tcp" or "udp", without whose listeners the option has no effect. Empty if it has one anyway."""
    setting: str = ""
    """The field of Settings, set by `declared_options`. Empty for an option of the command line only."""

    @property
    def is_switch(self) -> bool:
        """Return True if the option takes no value on the command line."""
        return self.parse is None

    @property
    def form(self) -> str:
        """Return the option as it is typed, with its short form and its metavar."""
        short = f"-{self.letter}, " if self.letter else ""
        return f"{short}--{self.name} {self.metavar}".rstrip()

    @property
    def usage(self) -> str:
        """Return the help with the default, for --help and the man page."""
        notes = ["repeatable"] * self.repeatable + [f"default: {self.shown_default}"] * bool(self.shown_default)
        return f"{self.help} [{'; '.join(notes)}]" if notes else self.help


def _field_with(spec: Callable[P, OptionSpec]) -> Callable[Concatenate[T, P], T]:
    def declare(default: T, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return field(default=default, metadata={"option": spec(*args, **kwargs)})

    return declare


option = _field_with(OptionSpec)
"""Declare a field of a dataclass: its default, and then the arguments of OptionSpec."""


def declared_options(settings: type) -> tuple[OptionSpec, ...]:
    """Return the options that the fields of a dataclass declare, in their order."""
    return tuple(_complete(each, each.metadata["option"]) for each in fields(settings) if "option" in each.metadata)


def group_options(options: Iterable[OptionSpec]) -> dict[str, list[OptionSpec]]:
    """Return the options by the title of their group, in their order."""
    groups: dict[str, list[OptionSpec]] = {}
    title = ""
    for each in options:
        title = each.section or title
        groups.setdefault(title, []).append(each)
    return groups


def _complete(declared: Field[Any], spec: OptionSpec) -> OptionSpec:
    """Fill in the attributes that derive from the field and from the parser."""
    metavar, accepts = _METAVARS.get(spec.parse, ("", "")) if spec.parse else ("", "")
    return replace(
        spec,
        name=spec.name or declared.name.replace("_", "-"),
        setting=declared.name,
        metavar=spec.metavar or metavar,
        accepts=spec.accepts or accepts,
        shown_default=spec.shown_default or ("" if spec.is_switch else _show(declared.default)),
    )


def _show(default: object) -> str:
    if isinstance(default, bytes):
        return escape(default)
    return f"{default:g}" if isinstance(default, float) else str(default)
