"""twistd's door: Options for its command line, makeService for its application. Wiring only."""

from __future__ import annotations

import gc
import select
import sys
from collections.abc import Iterable
from typing import Any

from twisted.python.usage import UsageError

from echotime.config import options as daemon_options
from echotime.config.settings import Settings
from echotime.daemon.builder import DaemonBuilder
from echotime.daemon.log_output import choose_logger
from echotime.daemon.reload import ReloadService
from echotime.daemon.service import Daemon
from echotime.errors import exit_with_usage_errors
from echotime.services.replies import IReplySource


class Options(daemon_options.DaemonOptions):
    """The daemon's options, ending the process with status 2 on a fault, where twistd would say 1."""

    def parseOptions(self, options: Iterable[str] | None = None) -> None:
        """Parse, or say every fault and end."""
        try:
            super().parseOptions(options)
        except UsageError as error:
            exit_with_usage_errors(str(error))
        _install_reactor()
        if self.parent is not None:
            from twisted.internet import reactor

            choose_logger(self.parent, reactor)


def _install_reactor() -> None:
    """Install our own reactor where there is epoll(7), unless there is a reactor already, as with `twistd -r NAME`."""
    if "twisted.internet.reactor" not in sys.modules and hasattr(select, "epoll"):
        from echotime import reactor

        reactor.install()


def makeService(options: daemon_options.DaemonOptions) -> Daemon:
    """The daemon for parsed options, on the reactor that twistd runs."""
    from twisted.internet import reactor

    builder = DaemonBuilder(options.settings, reactor)
    if options["config"] is not None:
        systemd_status = builder.service.systemd_status
        callbacks = {} if systemd_status is None else {"on_reload": systemd_status.notify_reloading}
        builder.service.addService(
            ReloadService(options.settings, options.reparse, builder.runtime_config, reactor, **callbacks)
        )
    # all of this stays: let no garbage collection look through it again, and keep everybody waiting for several ms
    gc.collect()
    gc.freeze()
    return builder.service


def build_daemon(settings: Settings, reactor: Any, replies: IReplySource | None = None) -> Daemon:
    """The daemon for settings; `replies` is a source of words of one's own, in place of the one that they name."""
    return DaemonBuilder(settings, reactor, replies).service
