"""Handle SIGHUP in the reactor: once for any number of signals that arrive meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service

from echotime.daemon.signals import stop_if_hung_up

MIN_INTERVAL = 0.5
"""Seconds from the end of handling a signal until the next one may be handled."""


class HangupService(Service):
    """Call `on_hangup` at SIGHUP while the service runs. The method must have `_handled` called in the end."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._previous_handler: Any = None
        self._is_requested = False
        """True from a signal until the next one is accepted."""

    def on_hangup(self) -> None:
        """Act on the signal, in the reactor."""
        raise NotImplementedError

    def startService(self) -> None:
        super().startService()
        self._previous_handler = signal.signal(signal.SIGHUP, self._on_signal)

    def stopService(self) -> None:
        """Ignore SIGHUP from now on."""
        super().stopService()
        if self._previous_handler is not None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self._accept_signal()

    def _on_signal(self, number: int, frame: object) -> None:
        """Handle the signal, and block it until then. The kernel keeps one further signal, not several."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        if not self._is_requested:  # another signal may have arrived before they were blocked
            self._is_requested = True
            self._reactor.callFromThread(self.on_hangup)

    def _handled(self) -> None:
        """Accept the next signal after a while."""
        self._reactor.callLater(MIN_INTERVAL, self._accept_signal)

    def _accept_signal(self) -> None:
        self._is_requested = False
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


class ReopenService(HangupService):
    """Call `reopen` at SIGHUP, for a daemon without --config.

    If the terminal hung up, the daemon stops as by SIGTERM, unless it was started by nohup(1).
    """

    def __init__(self, reactor: Any, reopen: Callable[[], object]) -> None:
        super().__init__(reactor)
        self._reopen = reopen

    def on_hangup(self) -> None:
        is_nohup = self._previous_handler is signal.SIG_IGN
        if self.running and (is_nohup or not stop_if_hung_up()):
            self._reopen()
        self._handled()
