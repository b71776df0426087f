"""What a demonstration is made of: phases, calls and what came of them, and what this host cannot show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from echotime.sockopt.errno_name import errno_name

SERVER, CLIENT = "server", "client"


@dataclass(frozen=True)
class Section:
    """A heading: under which condition the following is done."""

    title: str


@dataclass(frozen=True)
class Step:
    """A call, by whom, and what really came of it; `expected` is what comes of it where all is as described."""

    actor: str
    call: str
    result: str = ""
    remark: str = ""
    expected: str = ""

    @property
    def as_expected(self) -> bool:
        """Whether this host behaves as described."""
        return not self.expected or self.result == self.expected


@dataclass(frozen=True)
class Skipped:
    """What could be shown on another host, and why not on this one."""

    reason: str


Entry = Section | Step | Skipped
Demonstration = Callable[[], Iterator[Entry]]


def result_of(call: Callable[..., object], *arguments: Any) -> str:
    """What a call gives: ``ok``, its value, ``nothing`` after the socket's time limit, or the name of its errno."""
    try:
        value = call(*arguments)
    except OSError as error:
        # Python's own time limit has no errno; ETIMEDOUT is the kernel's
        timed_out = error.errno is None or isinstance(error, BlockingIOError)
        return "nothing" if timed_out else errno_name(error)
    return "ok" if value is None else str(value)


def expect(result: str, ok: bool, expected: str) -> str:
    """For Step's `expected` where what is expected is no exact text: the result itself if it is well."""
    return result if ok else expected
