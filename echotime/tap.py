"""twistd's door: Options for its command line, makeService for its application. Wiring only."""

from __future__ import annotations

import gc
import select
import sys
from collections.abc import Iterable
from typing import Any

from twisted.python.usage import UsageError

from echotime.daemon import options as daemon_options
from echotime.daemon.assembly import Assembly
from echotime.daemon.failure import usage_failed
from echotime.daemon.log_stream import choose_logger
from echotime.daemon.reload import Reload
from echotime.daemon.service import Daemon
from echotime.daemon.settings import Settings
from echotime.servers.replies import IReplySource


class Options(daemon_options.Options):
    """The daemon's options, ending the process with status 2 on a fault, where twistd would say 1."""

    def parseOptions(self, options: Iterable[str] | None = None) -> None:
        """Parse, or say every fault and end."""
        try:
            super().parseOptions(options)
        except UsageError as error:
            usage_failed(str(error))
        _install_reactor()
        if self.parent is not None:
            from twisted.internet import reactor

            choose_logger(self.parent, reactor)


def _install_reactor() -> None:
    """Install our own reactor where there is epoll(7), unless there is a reactor already, as with `twistd -r NAME`."""
    if "twisted.internet.reactor" not in sys.modules and hasattr(select, "epoll"):
        from echotime import reactor

        reactor.install()


def makeService(options: daemon_options.Options) -> Daemon:
    """The daemon for parsed options, on the reactor that twistd runs."""
    from twisted.internet import reactor

    assembly = Assembly(options.settings, reactor)
    if options["config"] is not None:
        supervision = assembly.service.supervision
        told = {} if supervision is None else {"told": supervision.reloading}
        assembly.service.addService(Reload(options.settings, options.read_again, assembly.live, reactor, **told))
    # all of this stays: let no garbage collection look through it again, and keep everybody waiting for several ms
    gc.collect()
    gc.freeze()
    return assembly.service


def daemon(settings: Settings, reactor: Any, words: IReplySource | None = None) -> Daemon:
    """The daemon for settings; `words` is a source of words of one's own, in place of the one that they name."""
    return Assembly(settings, reactor, words).service
