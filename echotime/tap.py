"""twistd's door: Options for its command line, makeService for its application. Wiring only."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from twisted.python.usage import UsageError

from echotime.daemon import options as daemon_options
from echotime.daemon.failure import usage_failed
from echotime.daemon.listeners import Listener
from echotime.daemon.service import Daemon, second_signal
from echotime.daemon.settings import Settings
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.servers.drain import Drain
from echotime.servers.echo import EchoFactory
from echotime.servers.replies import FixedWord, IReplySource, NoWords
from echotime.servers.time import TimeProtocol
from echotime.servers.traffic import Traffic
from echotime.wire.message import MESSAGE_SIZE


class Options(daemon_options.Options):
    """The daemon's options, ending the process with status 2 on a fault, where twistd would say 1."""

    def parseOptions(self, options: Iterable[str] | None = None) -> None:
        """Parse, or say every fault and end."""
        try:
            super().parseOptions(options)
        except UsageError as error:
            usage_failed(str(error))


def makeService(options: daemon_options.Options) -> Daemon:
    """The daemon for parsed options, on the reactor that twistd runs."""
    from twisted.internet import reactor

    return daemon(options.settings, reactor)


def daemon(settings: Settings, reactor: Any, words: IReplySource | None = None) -> Daemon:
    """Wire factories, ports and services together; nothing is opened before the service starts.

    `words` is a source of words of one's own, in place of the one that the settings name.
    """
    traffic = Traffic(reactor, settings.show_messages)
    if words is None:
        words = NoWords() if settings.reply is None else FixedWord(settings.reply)
    factory = EchoFactory(words, traffic, settings.acknowledgement)
    service = Daemon(Drain(factory, reactor, settings.drain_seconds), traffic, second_signal(reactor))
    port = partial(EchoPort, backlog=settings.backlog, message_size=MESSAGE_SIZE)
    for address in settings.tcp:
        echo = port(address.port, factory, interface=address.host, asked=settings.asked, reactor=reactor)
        service.addService(Listener("tcp", address, echo))
    for address in settings.udp:
        answer = TimeProtocol(time.time, traffic.counters, settings.epoch)
        service.addService(
            Listener(
                "udp",
                address,
                TimePort(address.port, answer, interface=address.host, asked=settings.asked, reactor=reactor),
            )
        )
    return service
