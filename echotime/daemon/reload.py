"""SIGHUP: the options are read again, checked whole, and only then what can be changed is changed.

A file may hold a long access list, so it is read in slices, and the reactor turns between two of them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from typing import Any

from twisted.application.service import Service
from twisted.python.usage import UsageError

from echotime.config.settings import Settings
from echotime.daemon.runtime_config import RuntimeConfig
from echotime.logger import Logger

MAX_SLICE = 0.002
"""Seconds for which a reload holds the reactor at a time."""


class ReloadService(Service):
    """Reloads at SIGHUP, while it runs.

    `reparse` parses the options anew, yielding after each short step, and raises UsageError. `on_reload` is called with
    True when a reload begins, and with False when it has ended, unless the daemon was stopped meanwhile.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        reparse: Callable[[], Generator[None, None, Settings]],
        runtime_config: RuntimeConfig,
        reactor: Any,
        on_reload: Callable[[bool], object] = lambda begins: None,
    ) -> None:
        self.settings = settings
        self._reparse = reparse
        self._runtime_config = runtime_config
        self._reactor = reactor
        self._on_reload = on_reload
        self._previous_handler: Any = None
        self._steps: Generator[None, None, None] | None = None
        """What is left of a reload that has begun."""
        self._next_slice: Any = None
        self._reload_again = False

    def startService(self) -> None:
        """From now on."""
        super().startService()
        self._previous_handler = signal.signal(
            signal.SIGHUP, lambda number, frame: self._reactor.callFromThread(self.reload)
        )
        self._log.info("options are read again at SIGHUP")

    def stopService(self) -> None:
        """Give up a reload that has begun: a daemon that stops is not changed any more."""
        super().stopService()
        if self._previous_handler is not None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if self._steps is not None:
            self._next_slice.cancel()
            self._steps.close()
            self._steps = None

    def reload(self) -> None:
        """Begin a reload, or have another one follow that which has begun; the log says what came of it."""
        if not self.running:
            return
        if self._steps is not None:
            # the file may have been changed after it was read
            self._reload_again = True
            return
        self._reload_again = False
        self._on_reload(True)
        self._steps = self._reload_steps()
        self._run_slice(self._steps)

    def _run_slice(self, steps: Generator[None, None, None]) -> None:
        deadline = self._reactor.seconds() + MAX_SLICE
        try:
            for _step in steps:
                if self._reactor.seconds() >= deadline:
                    self._next_slice = self._reactor.callLater(0, self._run_slice, steps)
                    return
        except Exception:
            self._log.failure("reload failed")
        self._steps = None
        self._on_reload(False)
        if self._reload_again:
            self.reload()

    def _reload_steps(self) -> Generator[None, None, None]:
        try:
            new = yield from self._reparse()
        except UsageError as error:
            for error_line in str(error).splitlines():
                self._log.error("not reloaded: {fault}", fault=error_line)
            return
        result = self._runtime_config.apply(self.settings, new)
        became_open = bool(self.settings.allow) and not new.allow
        self.settings = result.settings
        self._log.info("reloaded: changed: {changed}", changed=", ".join(result.changed) or "nothing")
        if became_open:
            self._log.warn("reloaded: nobody is named by allow any more: everybody is served whom deny does not name")
        for each in result.not_applied:
            self._log.warn("reloaded, but not {left}", left=each)
