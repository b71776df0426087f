"""Define the parts of a demonstration: sections, steps with their results, and what this host cannot show."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from echotime.i18n.language import gettext as _
from echotime.sockopt.errno_name import errno_name, errno_number
from echotime.sockopt.tcp_info import read_tcp_info
from echotime.sockopt.values import N_

SERVER, CLIENT = N_("server"), N_("client")
MISTAKE = ""
"""In place of the program: the call's text names the step that is left out, or the mistake."""
UNBOUND = "('0.0.0.0', 0)"


@dataclass(frozen=True)
class Section:
    """Start a part of the demonstration under a heading."""

    title: str


@dataclass(frozen=True)
class Step:
    """Record a call and its result; `expected` is the result on a host that behaves as described, if it is known.

    A text with a number or a name in it is translated already. All others are translated where they are shown.
    """

    actor: str
    call: str
    result: str = ""
    remark: str = ""
    expected: str = ""

    @property
    def as_expected(self) -> bool:
        return not self.expected or self.result == self.expected


@dataclass(frozen=True)
class Skipped:
    """Record a part that this host cannot show."""

    reason: str


Entry = Section | Step | Skipped
Demonstration = Callable[[], Iterator[Entry]]


def result_of(call: Callable[..., object], *arguments: Any) -> str:
    """Return the value of a call, ``ok`` for None, ``nothing`` if nothing arrived in time, or the name of its errno."""
    try:
        value = call(*arguments)
    except OSError as error:
        # a Python socket timeout has no errno; ETIMEDOUT comes from the kernel
        timed_out = error.errno is None or isinstance(error, BlockingIOError)
        return N_("nothing") if timed_out else errno_name(error)
    return N_("ok") if value is None else str(value)


def describe_result(result: str) -> str:
    """Return a result in the user's language, with the meaning of an errno name."""
    if (number := errno_number(result)) is not None:
        return _("{reason} ({name})").format(reason=_(os.strerror(number)), name=result)
    return _(result) if result else ""


def attempt(
    actor: str, call: Callable[..., object], *arguments: Any, text: str = "", remark: str = "", expected: str = ""
) -> Step:
    """Carry out a call, and return the step; without `text` it shows the call itself, such as ``recv(100)``."""
    text = text or f"{getattr(call, '__name__', '')}({', '.join(map(repr, arguments))})"
    return Step(actor, text, result_of(call, *arguments), remark, expected)


def expect(result: str, ok: bool, expected: str) -> str:
    """Return `expected` for a Step whose result is not an exact text: the result itself if `ok`."""
    return result if ok else expected


def tcp_state(actor: str, sock: socket.socket, expected: str) -> Step:
    """Return a step that shows the state of a TCP socket."""
    return Step(actor, N_("the state, by TCP_INFO"), read_tcp_info(sock).state, expected=expected)


def local_address(actor: str, sock: socket.socket, expected: str = "", remark: str = "") -> Step:
    """Return a step that shows getsockname."""
    return Step(actor, "getsockname()", str(sock.getsockname()), remark, expected)


def accept_queue(listener: socket.socket, pending: int, limit: int, remark: str = "") -> Step:
    """Return a step that shows the accept queue of a listener, expected to be `pending` of at most `limit`."""
    info = read_tcp_info(listener)
    text = _("{pending} pending, limit {limit}")
    result = text.format(pending=info.accept_queue, limit=info.accept_queue_limit)
    expected = text.format(pending=pending, limit=limit)
    return Step(SERVER, N_("TCP_INFO of the listener"), result, remark, expected)
