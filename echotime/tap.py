"""The interface to twistd: Options for its command line, makeService for its application."""

from __future__ import annotations

import gc
import select
import sys
from collections.abc import Callable, Iterable
from typing import Any

from twisted.python.usage import UsageError

from echotime.config.options import DaemonOptions
from echotime.config.settings import Settings
from echotime.daemon.builder import DaemonBuilder
from echotime.daemon.hangup import ReopenService
from echotime.daemon.log_output import choose_logger
from echotime.daemon.reload import ReloadService
from echotime.daemon.service import Daemon
from echotime.daemon.signals import hold_signals, hold_stop_signals
from echotime.daemon.twistd_options import new_file_rights, prepare_twistd
from echotime.errors import exit_with_usage_errors
from echotime.services.replies import IReplySource


class Options(DaemonOptions):
    """Parse the daemon's options. A fault ends the process with status 2, where twistd would use 1."""

    def parseOptions(self, options: Iterable[str] | None = None) -> None:
        """Parse the options, or print all faults and exit."""
        if self.parent is not None:
            hold_signals()
        try:
            super().parseOptions(options)
        except UsageError as error:
            exit_with_usage_errors(str(error))
        _install_reactor()
        # `twist` has other options: it has no daemon mode and no PID file, and its log cannot be chosen here
        if self.parent is not None and "nodaemon" in self.parent:
            from twisted.internet import reactor

            prepare_twistd(self.parent)
            choose_logger(self.parent, reactor)
        if self.parent is not None:
            # only now, because long lists can take a while to read
            hold_stop_signals()


def _install_reactor() -> None:
    """Install the reactor of echotime if there is epoll(7), and no reactor yet, as after `twistd -r NAME`."""
    if "twisted.internet.reactor" not in sys.modules and hasattr(select, "epoll"):
        from echotime import reactor

        reactor.install()


def makeService(options: DaemonOptions) -> Daemon:
    """Return the daemon for parsed options, on the reactor that twistd runs."""
    from twisted.internet import reactor

    builder = DaemonBuilder(options.settings, reactor, new_file=new_file_rights(options.parent or {}))
    reopen = builder.record.reopen if builder.record is not None else None
    if options["config"] is not None:
        systemd_status = builder.service.systemd_status
        callbacks: dict[str, Callable[..., object]] = {"on_result": builder.on_reload_result}
        if reopen is not None:
            callbacks["reopen"] = reopen
        if systemd_status is not None:
            callbacks["on_reload"] = systemd_status.notify_reloading
        builder.service.addService(
            ReloadService(options.settings, options.reparse, builder.runtime_config, reactor, **callbacks)
        )
    elif reopen is not None:
        builder.service.addService(ReopenService(reactor, reopen))
    # these objects stay: garbage collections would examine them again, and block the reactor for several ms
    gc.collect()
    gc.freeze()
    return builder.service


def build_daemon(settings: Settings, reactor: Any, replies: IReplySource | None = None) -> Daemon:
    """Return the daemon for settings. `replies` replaces the source of replies that the settings name."""
    return DaemonBuilder(settings, reactor, replies).service
