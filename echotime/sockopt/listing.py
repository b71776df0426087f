"""List the option names for `--sockopt help`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from gettext import gettext as _

from echotime.sockopt.assignment import EXPECTED
from echotime.sockopt.catalogue.index import CHAPTERS
from echotime.sockopt.values import N_

_INTRODUCTION = N_("--sockopt {form}; repeatable. `echotime sockopts NAME` describes one.")


_INDENT = " " * 31


def option_lines(fit: Callable[[str, str, str], Iterable[str]]) -> Iterator[str]:
    """Yield lines for every option that can be set: name, transports, meaning and values.

    `fit` breaks a text into lines, with indents for the first and for the others.
    """
    yield from fit(_(_INTRODUCTION).format(form=_(EXPECTED)), "", "  ")
    for chapter in CHAPTERS:
        settable = [option for option in chapter.rows if option.settable]
        if settable:
            yield from ("", _(chapter.title))
        for option in settable:
            transports = "/".join(option.transports)
            yield from fit(_(option.meaning), f"  {option.name:<20}{transports:<9}", _INDENT)
            values = _("{assignment} ({expected})").format(
                assignment=f"{option.name}={option.example}", expected=_(option.value_type.expected)
            )
            yield from fit(values, _INDENT, f"{_INDENT}  ")
