"""Standard output for twistd's log that nothing can hold up: a reader that is slow, stopped or gone, a full disk.

twistd writes its log with print's means: a pipe that nobody reads stops the whole daemon at its first full buffer, and
so does a terminal behind a connection that is lost.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TextIO

from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel, formatEventAsClassicLogText

_INTERVAL = 1.0
"""Seconds between two looks whether there is room again."""


class Outlet:
    """Writes what a descriptor takes at once; never waits, and never raises an OSError.

    A pipe or terminal is opened once more, without blocking: on the descriptor itself that flag would be everybody's
    who shares it. Where that may not be, poll is asked: a pipe that has room takes as much as PIPE_BUF at once.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self._ready, self._write, self.close = _means(descriptor)

    def write(self, data: bytes) -> int:
        """Write from the beginning; how many bytes."""
        done = 0
        try:
            while done < len(data) and self._ready():
                done += self._write(data[done : done + select.PIPE_BUF])
        except OSError:  # no room, no reader, no terminal
            pass
        return done


class LogStream:
    """Stands in for a text stream. A line that there is no room for is left out, and counted.

    One line tells how many as soon as there is room: with the next line, or within a second. A line that was begun is
    completed before any other. What was never open takes nothing and misses nothing.
    """

    encoding = "utf-8"

    def __init__(self, stream: TextIO | None, clock: IReactorTime) -> None:
        self._stream = stream
        self._clock = clock
        self._outlet = None
        if stream is not None:
            stream.flush()
            self.encoding = stream.encoding
            self._outlet = Outlet(stream.fileno())
        self._begun = b""
        self._lost = 0
        self._waits = False

    def write(self, text: str) -> int:
        """Write it, or count it as lost."""
        if self._outlet is not None:
            self._begun = self._begun[self._outlet.write(self._begun) :]
            if self._begun or not self._written(self._outlet, text):
                self._lost += text.count("\n")
                self._wait()
        return len(text)

    def _written(self, outlet: Outlet, text: str) -> bool:
        """Whether all of it was, or at least begun."""
        data = (self._missing() + text).encode(self.encoding, "backslashreplace")
        done = outlet.write(data)
        if done:
            self._begun, self._lost = data[done:], 0
        return not data or done > 0

    def _missing(self) -> str:
        """What is told of lost lines; in the form of twistd's log."""
        if not self._lost:
            return ""
        event = {"log_format": "log lines lost: {number}", "number": self._lost, "log_time": time.time()}
        return formatEventAsClassicLogText({**event, "log_namespace": __name__, "log_level": LogLevel.warn}) or ""

    def _wait(self) -> None:
        if not self._waits:
            self._waits = True
            self._clock.callLater(_INTERVAL, self._again)

    def _again(self) -> None:
        self._waits = False
        self.write("")
        if self._begun or self._lost:
            self._wait()

    def flush(self) -> None:
        """Nothing is kept that could be written."""

    def fileno(self) -> int:
        """The descriptor for others that write here and do not wait. OSError if there is none."""
        if self._outlet is None:
            raise OSError("standard output is closed")
        return self._outlet.descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Means(NamedTuple):
    """How to write to a descriptor: whether to try, and what tries; and what undoes the preparations for it."""

    descriptor: int
    ready: Callable[[], object]
    write: Callable[[bytes], int]
    close: Callable[[], object]


def _means(descriptor: int) -> _Means:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        sock = socket.socket(fileno=os.dup(descriptor))
        return _Means(descriptor, _always, lambda data: sock.send(data, socket.MSG_DONTWAIT), sock.close)
    if not stat.S_ISFIFO(mode) and not os.isatty(descriptor):
        return _Means(descriptor, _always, partial(os.write, descriptor), _always)
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return _Means(descriptor, partial(poll.poll, 0), partial(os.write, descriptor), _always)
    return _Means(own, _always, partial(os.write, own), partial(os.close, own))


def _always() -> bool:
    return True
