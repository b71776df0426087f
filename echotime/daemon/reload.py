"""SIGHUP: the options are read again, checked whole, and only then what can be changed is changed.

A file may hold a long access list, so it is read in slices, and the reactor turns between two of them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python.usage import UsageError

from echotime.daemon.live import Live
from echotime.daemon.settings import Settings

SLICE = 0.002
"""Seconds for which a reload holds the reactor at a time."""


class Reload(Service):
    """Reloads at SIGHUP, while it runs.

    `read` parses the options anew, yielding after each short step, and raises UsageError. `told` is called with True
    when a reload begins, and with False when it has ended, unless the daemon was stopped meanwhile.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Generator[None, None, Settings]],
        live: Live,
        reactor: Any,
        told: Callable[[bool], object] = lambda begins: None,
    ) -> None:
        self.settings = settings
        self._read = read
        self._live = live
        self._reactor = reactor
        self._told = told
        self._before: Any = None
        self._steps: Generator[None, None, None] | None = None
        """What is left of a reload that has begun."""
        self._next: Any = None
        self._again = False

    def startService(self) -> None:
        """From now on."""
        super().startService()
        self._before = signal.signal(signal.SIGHUP, lambda number, frame: self._reactor.callFromThread(self.reload))
        self._log.info("options are read again at SIGHUP")

    def stopService(self) -> None:
        """Give up a reload that has begun: a daemon that stops is not changed any more."""
        super().stopService()
        if self._before is not None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if self._steps is not None:
            self._next.cancel()
            self._steps.close()
            self._steps = None

    def reload(self) -> None:
        """Begin a reload, or have another one follow that which has begun; the log says what came of it."""
        if not self.running:
            return
        if self._steps is not None:
            # the file may have been changed after it was read
            self._again = True
            return
        self._again = False
        self._told(True)
        self._steps = self._change()
        self._slice(self._steps)

    def _slice(self, steps: Generator[None, None, None]) -> None:
        until = self._reactor.seconds() + SLICE
        try:
            for _step in steps:
                if self._reactor.seconds() >= until:
                    self._next = self._reactor.callLater(0, self._slice, steps)
                    return
        except Exception:
            self._log.failure("reload failed")
        self._steps = None
        self._told(False)
        if self._again:
            self.reload()

    def _change(self) -> Generator[None, None, None]:
        try:
            wanted = yield from self._read()
        except UsageError as error:
            for fault in str(error).splitlines():
                self._log.error("not reloaded: {fault}", fault=fault)
            return
        outcome = self._live.change(self.settings, wanted)
        opened = bool(self.settings.allow) and not wanted.allow
        self.settings = outcome.settings
        self._log.info("reloaded: changed: {changed}", changed=", ".join(outcome.changed) or "nothing")
        if opened:
            self._log.warn("reloaded: nobody is named by allow any more: everybody is served whom deny does not name")
        for each in outcome.left:
            self._log.warn("reloaded, but not {left}", left=each)
