"""Read the options again at SIGHUP, check all of them, and then apply those that can change in a running daemon.

A configuration file may hold a long access list. It is read in slices, and the reactor runs between them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.python.usage import UsageError

from echotime.config.settings import Settings
from echotime.daemon.runtime_config import ReloadResult
from echotime.logger import Logger

MAX_SLICE = 0.002
"""Seconds for which a reload may keep the reactor busy at a time."""
MIN_INTERVAL = 0.5
"""Seconds from the end of a reload until the next one may begin."""


class Applier(Protocol):
    """Apply new settings to the daemon."""

    def apply(self, old: Settings, new: Settings) -> ReloadResult:
        """Apply what differs and can change while the daemon runs."""


class ReloadService(Service):
    """Reload at SIGHUP while the service runs.

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
    ) -> None:
        self.settings = settings
        self._reparse = reparse
        self._runtime_config = runtime_config
        self._reactor = reactor
        self._on_reload = on_reload
        self._on_result = on_result
        self._previous_handler: Any = None
        self._steps: Generator[None, None, None] | None = None
        """The rest of a reload that has begun."""
        self._next_slice: Any = None
        self._is_requested = False
        """True from a signal until the next one is accepted."""

    def startService(self) -> None:
        super().startService()
        self._previous_handler = signal.signal(signal.SIGHUP, self._on_signal)
        self._log.info("reload: enabled (SIGHUP)")

    def stopService(self) -> None:
        """Abandon a reload that has begun, and ignore SIGHUP from now on."""
        super().stopService()
        if self._previous_handler is not None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self._accept_signal()
        if self._steps is not None:
            self._next_slice.cancel()
            self._steps.close()
            self._steps = None

    def reload(self) -> None:
        """Begin a reload, unless one is in progress."""
        if not self.running or self._steps is not None:
            return
        self._on_reload(True)
        self._steps = self._reload_steps()
        self._run_slice(self._steps)

    def _on_signal(self, number: int, frame: object) -> None:
        """Begin a reload, and block the signal until it has ended. The kernel keeps one further signal, not several."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        if not self._is_requested:  # another signal may have arrived before they were blocked
            self._is_requested = True
            self._reactor.callFromThread(self.reload)

    def _accept_signal(self) -> None:
        self._is_requested = False
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})

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
        self._reactor.callLater(MIN_INTERVAL, self._accept_signal)

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
        for each in result.not_applied:
            self._log.warn("reload: {reason}", reason=each)
