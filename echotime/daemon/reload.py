"""Read the options again at SIGHUP, check all of them, and then apply those that can change in a running daemon.

A configuration file may hold a long access list. It is read in slices, and the reactor runs between them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

from twisted.python.usage import UsageError

from echotime.config.settings import Settings
from echotime.daemon.hangup import HangupService
from echotime.daemon.runtime_config import ReloadResult
from echotime.logger import Logger

MAX_SLICE = 0.002
"""Seconds for which a reload may keep the reactor busy at a time."""


class Applier(Protocol):
    """Apply new settings to the daemon."""

    def apply(self, old: Settings, new: Settings) -> ReloadResult:
        """Apply what differs and can change while the daemon runs."""


class ReloadService(HangupService):
    """Reload at SIGHUP while the service runs, after a call of `reopen`.

    `reparse` parses the options again. It yields after each short step, and raises UsageError. `on_reload` is called
    with True when a reload begins and with False when it ends, unless the daemon stops first. `on_result` is called
    after a reload, with True if it succeeded.
    """

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        reparse: Callable[[], Generator[None, None, Settings]],
        runtime_config: Applier,
        reactor: Any,
        on_reload: Callable[[bool], object] = lambda in_progress: None,
        on_result: Callable[[bool], object] = lambda succeeded: None,
        reopen: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(reactor)
        self.settings = settings
        self._reparse = reparse
        self._runtime_config = runtime_config
        self._on_reload = on_reload
        self._on_result = on_result
        self._reopen = reopen
        self._steps: Generator[None, None, None] | None = None
        """The rest of a reload that has begun."""
        self._next_slice: Any = None

    def startService(self) -> None:
        super().startService()
        self._log.info("reload: enabled (SIGHUP)")

    def stopService(self) -> None:
        """Abandon a reload that has begun, and ignore SIGHUP from now on."""
        super().stopService()
        if self._steps is not None:
            self._next_slice.cancel()
            self._steps.close()
            self._steps = None

    def on_hangup(self) -> None:
        self._reopen()
        self.reload()

    def reload(self) -> None:
        """Begin a reload, unless one is in progress."""
        if not self.running or self._steps is not None:
            return
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
            self._on_result(False)
        self._steps = None
        self._on_reload(False)
        self._handled()

    def _reload_steps(self) -> Generator[None, None, None]:
        try:
            new = yield from self._reparse()
        except UsageError as error:
            for error_line in str(error).splitlines():
                self._log.error("reload failed: {fault}", fault=error_line)
            self._on_result(False)
            return
        result = self._runtime_config.apply(self.settings, new)
        became_open = bool(self.settings.allow) and not result.settings.allow
        self.settings = result.settings
        self._on_result(True)
        self._log.info("reload: changed: {changed}", changed=", ".join(result.changed) or "nothing")
        if became_open:
            self._log.warn("reload: --allow removed: every source that --deny does not list is served")
        for each in (*result.not_applied, *new.warnings):
            self._log.warn("reload: {reason}", reason=each)
