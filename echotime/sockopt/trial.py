"""Trying options on scratch sockets: what was asked, what the kernel made of it, what a connection inherits."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from gettext import gettext as _

from echotime.sockopt.apply import UNKNOWN, OptionFailed, apply, read, value_of
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.forms import N_
from echotime.sockopt.option import OnAccept, Option, Place, Readable
from echotime.sockopt.scratch import Scratch

NO_EFFECT = N_("taken, and nothing comes of it")
NOT_INHERITED = N_("not inherited")


@dataclass(frozen=True)
class Outcome:
    """What became of an option in one place. `effective` is empty where nothing can be read."""

    place: Place
    effective: str
    remark: str = ""
    refused: bool = False
    differs: bool = False
    """The kernel took it and did something else, or gave the connection something else than its listener has."""


def outcomes(asked: Assignment) -> list[Outcome]:
    """What becomes of it on a listener, on a connection that this accepts, and on a UDP socket; each a new one.

    On the listener and the UDP socket it is set before bind. Raises OSError where no socket can be opened.
    """
    found = []
    with Scratch(_version(asked.option)) as scratch:
        if asked.transport in {None, "tcp"}:
            found += _on_tcp(scratch, asked)
        if asked.transport in {None, "udp"}:
            found += [_set(scratch, scratch.open("udp"), asked, Place.UDP)]
    return found


def _on_tcp(scratch: Scratch, asked: Assignment) -> list[Outcome]:
    listener = scratch.open("tcp")
    first = _set(scratch, listener, asked, Place.LISTENER)
    return [first] if first.refused else [first, _inherited(scratch, listener, asked.option, first.effective)]


def shown_values(option: Option) -> Mapping[Place, str]:
    """What it is on a new socket of each kind that has it, or the name of the error that getsockopt gives."""
    if option.readable is Readable.NO:
        return {}
    with Scratch(_version(option)) as scratch:
        return {place: _shown(scratch, option, place) for place in option.places or Place}


def _version(option: Option) -> int:
    return min(option.ip_versions)


def _shown(scratch: Scratch, option: Option, place: Place) -> str:
    try:
        return option.form.show(value_of(scratch.one(place), option))
    except OSError as error:
        return errno_name(error)


def _set(scratch: Scratch, sock: socket.socket, asked: Assignment, place: Place) -> Outcome:
    try:
        apply(sock, [asked])
        scratch.bind(sock)
    except OptionFailed as failed:
        return Outcome(place, "", failed.reason, refused=True)
    except OSError as error:
        return Outcome(place, "", f"bind: {errno_name(error)}", refused=True)
    reading = read(sock, asked)
    remark = reading.remark or (_(NO_EFFECT) if place in asked.option.ignored else "")
    known = reading.effective != UNKNOWN
    return Outcome(place, reading.effective if known else "", remark, differs=known and bool(reading.remark))


def _inherited(scratch: Scratch, listener: socket.socket, option: Option, before: str) -> Outcome:
    try:
        connection = scratch.pair(listener)[1]
    except OSError as error:
        return Outcome(Place.CONNECTION, "", _("no connection: {error}").format(error=errno_name(error)), differs=True)
    effective = ""
    with suppress(OSError):
        if option.readable is not Readable.NO:
            effective = option.form.show(value_of(connection, option))
    same = effective == before
    unlike = option.on_accept is OnAccept.INHERITED and not same
    remark = NOT_INHERITED if unlike else option.on_accept.value
    return Outcome(Place.CONNECTION, effective, _(remark), differs=not same)
