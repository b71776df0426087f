"""List the option names for `--sockopt help`."""

from __future__ import annotations

from collections.abc import Iterator
from gettext import gettext as _

from echotime.sockopt.assignment import EXPECTED
from echotime.sockopt.catalogue.index import CHAPTERS
from echotime.sockopt.values import N_

_INTRODUCTION = N_("--sockopt {form}; repeatable. `echotime sockopts NAME` describes one.")


def option_lines() -> Iterator[str]:
    """Yield lines for every option that can be set: name, transports, meaning and values."""
    yield _(_INTRODUCTION).format(form=_(EXPECTED))
    for chapter in CHAPTERS:
        settable = [option for option in chapter.rows if option.settable]
        if settable:
            yield from ("", _(chapter.title))
        for option in settable:
            transports = "/".join(option.transports)
            yield f"  {option.name:<20}{transports:<9}{_(option.meaning)}"
            yield f"  {'':<29}{option.name}={option.example} ({_(option.value_type.expected)})"
