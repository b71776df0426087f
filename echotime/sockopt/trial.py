"""Trying options on scratch sockets: what was asked, what the kernel made of it, what a connection inherits."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from gettext import gettext as _

from echotime.sockopt.apply import UNKNOWN, OptionFailed, apply, read, value_of
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.forms import N_
from echotime.sockopt.option import Moment, OnAccept, Option, Place, Readable
from echotime.sockopt.scratch import NoLoopback, Scratch

_NOT_FOR_THIS_KIND = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP})
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
    try:
        with Scratch(_version(asked.option)) as scratch:
            if asked.transport in {None, "tcp"}:
                found += _on_tcp(scratch, asked)
            if asked.transport in {None, "udp"}:
                found += [_set(scratch, scratch.open("udp"), asked, Place.UDP)]
    except NoLoopback as absent:
        places = [place for place in Place if asked.transport in {None, place.transport}]
        return [Outcome(place, "", str(absent.strerror), refused=True) for place in places]
    return found


def _on_tcp(scratch: Scratch, asked: Assignment) -> list[Outcome]:
    listener = scratch.open("tcp")
    first = _set(scratch, listener, asked, Place.LISTENER)
    return [first] if first.refused else [first, _inherited(scratch, listener, asked, first.effective)]


def shown_values(option: Option) -> Mapping[Place, str]:
    """What it is on a new socket of each kind that has it, or the name of the error that getsockopt gives.

    What must be set before bind is read before bind. Raises OSError where no socket can be opened.
    """
    if option.readable is Readable.NO:
        return {}
    version = _version(option)
    try:
        with Scratch(version) as scratch:
            shown = {place: _shown(scratch, option, place) for place in Place}
    except NoLoopback:
        return dict.fromkeys(option.places, _("no IPv{version}").format(version=version))
    return {place: value for place, value in shown.items() if value is not None}


def _version(option: Option) -> int:
    return 6 if option.level == "IPPROTO_IPV6" else min(option.ip_versions)


def _shown(scratch: Scratch, option: Option, place: Place) -> str | None:
    unbound = option.moment is Moment.BEFORE_BIND and place is not Place.CONNECTION
    sock = scratch.open(place.transport) if unbound else scratch.one(place)
    try:
        return option.form.show(value_of(sock, option))
    except OSError as error:
        return None if error.errno in _NOT_FOR_THIS_KIND else errno_name(error)


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


def _inherited(scratch: Scratch, listener: socket.socket, asked: Assignment, before: str) -> Outcome:
    option = asked.option
    try:
        connection = scratch.pair(listener)[1]
    except OSError as error:
        return Outcome(Place.CONNECTION, "", _("no connection: {error}").format(error=errno_name(error)), differs=True)
    effective = ""
    with suppress(OSError):
        if option.readable is not Readable.NO:
            effective = option.form.show(value_of(connection, option))
    return Outcome(Place.CONNECTION, effective, _(_remark(asked, effective, before)), differs=effective != before)


def _remark(asked: Assignment, effective: str, before: str) -> str:
    """How a connection came to what it has, by what it has: the row has the last word only where that is not plain."""
    option = asked.option
    if not effective:
        return ""
    if effective == before and (option.on_accept is OnAccept.INHERITED or effective == option.form.show(asked.value)):
        return str(OnAccept.INHERITED.value)
    if option.on_accept is OnAccept.INHERITED or not option.known:
        return NOT_INHERITED
    return str(option.on_accept.value)
