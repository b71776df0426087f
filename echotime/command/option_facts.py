"""What `echotime sockopts` and `echotime explain` tell about an option: lines for a person, a record for programs."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any

from echotime.command.columns import padded, wrapped
from echotime.locale.language import gettext as _
from echotime.sockopt.option import Option, Place, Readable

_LABEL = 14


def facts(option: Option, values: Mapping[Place, str]) -> Iterator[str]:
    """A heading and lines for each thing known; `values` are what it is on new sockets."""
    yield from wrapped(f"{option.name} ({option.level} {option.number}): {_(option.meaning)}")
    for label, text in _labelled(option, values):
        yield from wrapped(text, f"  {padded(label, _LABEL)}", " " * (_LABEL + 2))


def _labelled(option: Option, values: Mapping[Place, str]) -> Iterator[tuple[str, str]]:
    yield _("value"), _(option.form.expected) if option.settable else _("read-only")
    if option.settable and option.known:
        yield _("as in"), f"--sockopt {option.name}={option.example}"
        yield _("set"), _(option.moment.value)
        yield _("taken by"), _places(option.places)
        yield _("no effect on"), _places(option.ignored)
        if "tcp" in option.transports:
            yield _("on accept"), _(option.on_accept.value)
        yield _("privilege"), option.privilege.needs if option.privilege else _("none")
    if option.readable is not Readable.YES:
        yield _("reading"), _(option.readable.value)
    yield _("reads back"), option.altered.why if option.altered else ""
    for number, (place, value) in enumerate(values.items()):
        yield "" if number else _("now"), f"{_(place.value)}: {value}"
    yield _("elsewhere"), ", ".join(_elsewhere(option))
    yield _("when"), _(option.use) if option.use else ""
    yield _("careful"), _(option.trap) if option.trap else ""
    if option.danger:
        yield _("warned of"), option.danger.warning


def _places(places: tuple[Place, ...]) -> str:
    return ", ".join(_(place.value) for place in places)


def _elsewhere(option: Option) -> Iterator[str]:
    if python := python_name(option):
        yield f"Python {python}"
    yield from map(" ".join, option.elsewhere.names())


def python_name(option: Option) -> str:
    """What this Python's socket module calls it; empty where it has no name for it."""
    return f"socket.{option.name}" if hasattr(socket, option.name) else ""


def _value(option: Option) -> dict[str, Any]:
    """The values it takes: the kind of form, and what bounds it."""
    form = option.form
    bounds = {name: getattr(form, name) for name in ("low", "high", "unit", "names", "size") if hasattr(form, name)}
    return {"form": type(form).__name__.lower(), **bounds}


def record(option: Option, values: Mapping[Place, str]) -> dict[str, Any]:
    """The same for --json."""
    return {
        "name": option.name,
        "level": option.level,
        "level_number": option.level_number,
        "number": option.number,
        "python": python_name(option) or None,
        "value": _value(option),
        "settable": option.settable,
        "acts_on": list(option.transports),
        "taken_by": [place.name.lower() for place in option.places] if option.settable else [],
        "ignored_by": [place.name.lower() for place in option.ignored],
        "moment": option.moment.value if option.settable else None,
        "on_accept": option.on_accept.value if option.settable and "tcp" in option.transports else None,
        "privilege": option.privilege.needs if option.privilege else None,
        "reading": option.readable.value,
        "altered": option.altered.why if option.altered else None,
        "systemd": option.elsewhere.systemd or None,
        "socat": option.elsewhere.socat or None,
        "values": {place.name.lower(): value for place, value in values.items()},
        "meaning": option.meaning,
        "use": option.use or None,
        "trap": option.trap or None,
        "warning": option.danger.warning if option.danger else None,
        "example": option.example if option.settable else None,
    }
