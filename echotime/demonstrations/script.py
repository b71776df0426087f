"""What a demonstration is made of: phases, calls and what came of them, and what this host cannot show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from echotime.sockopt.errno_name import errno_name

SERVER, CLIENT = "server", "client"


@dataclass(frozen=True)
class Phase:
    """A heading: under which condition the following is done."""

    text: str


@dataclass(frozen=True)
class Act:
    """A call, by whom, and what really came of it; `expected` is what comes of it where all is as described."""

    who: str
    call: str
    result: str = ""
    remark: str = ""
    expected: str = ""

    @property
    def as_expected(self) -> bool:
        """Whether this host behaves as described."""
        return not self.expected or self.result == self.expected


@dataclass(frozen=True)
class Unshown:
    """What could be shown on another host, and why not on this one."""

    reason: str


Line = Phase | Act | Unshown
Demonstration = Callable[[], Iterator[Line]]


def outcome(call: Callable[..., object], *arguments: Any) -> str:
    """What a call gives: ``ok``, its value, ``nothing`` after the socket's time limit, or the name of its errno."""
    try:
        value = call(*arguments)
    except OSError as error:
        # Python's own time limit has no errno; ETIMEDOUT is the kernel's
        waited = error.errno is None or isinstance(error, BlockingIOError)
        return "nothing" if waited else errno_name(error)
    return "ok" if value is None else str(value)


def judged(result: str, well: bool, expected: str) -> str:
    """For Act's `expected` where what is expected is no exact text: the result itself if it is well."""
    return result if well else expected
