"""SIGHUP: the options are read again, checked whole, and only then what can be changed is changed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger
from twisted.python.usage import UsageError

from echotime.daemon.live import Live
from echotime.daemon.settings import Settings


class Reload(Service):
    """While it runs, SIGHUP reloads. `read` parses the options anew, and raises UsageError; `told` is told when it
    begins and when it is over."""

    _log = Logger()

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
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

    def startService(self) -> None:
        """From now on."""
        super().startService()
        self._before = signal.signal(signal.SIGHUP, lambda number, frame: self._reactor.callFromThread(self.reload))
        self._log.info("options are read again at SIGHUP")

    def stopService(self) -> None:
        """A daemon that stops is not changed any more."""
        super().stopService()
        if self._before is not None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def reload(self) -> None:
        """Do it; the log says what came of it."""
        if not self.running:
            return
        self._told(True)
        try:
            self._change()
        except Exception:
            self._log.failure("reload failed")
        finally:
            self._told(False)

    def _change(self) -> None:
        try:
            wanted = self._read()
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
