"""twistd's door: Options for its command line, makeService for its application. Wiring only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from twisted.python.usage import UsageError
from zope.interface import classImplements

from echotime.daemon import options as daemon_options
from echotime.daemon.control import ControlSocket, admission
from echotime.daemon.failure import usage_failed
from echotime.daemon.listeners import Listener
from echotime.daemon.log_stream import LogStream
from echotime.daemon.operator import seat
from echotime.daemon.overview import Overview
from echotime.daemon.service import Daemon
from echotime.daemon.settings import Settings, Transport
from echotime.daemon.steady import steady
from echotime.daemon.stopping import Stopping
from echotime.desk.control import ControlFactory
from echotime.desk.questions import Desk, Limits
from echotime.ports.choice import tcp_port, udp_port
from echotime.ports.one_answer import IOneAnswer
from echotime.servers.access import Access
from echotime.servers.drain import Drain
from echotime.servers.echo import EchoFactory
from echotime.servers.replies import FixedWord, IReplySource, NoWords
from echotime.servers.time import TimeProtocol
from echotime.servers.traffic import Traffic
from echotime.wire.message import MESSAGE_SIZE

_LOWEST_PORT = 1024
"""Below are the ports of services that may answer, as RFC 6335 has them; who asks the time asks from a higher one."""

# said here, as servers know nothing of ports
classImplements(TimeProtocol, IOneAnswer)


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

    steady(reactor)
    if options.parent is not None and options.parent["nodaemon"]:
        sys.stdout = LogStream(sys.stdout, reactor)
    return daemon(options.settings, reactor)


def daemon(settings: Settings, reactor: Any, words: IReplySource | None = None) -> Daemon:
    """Wire factories, ports and services together; nothing is opened before the service starts.

    `words` is a source of words of one's own, in place of the one that the settings name.
    """
    traffic = Traffic(reactor, settings.show_messages)
    desk = _desk(settings, reactor) if settings.asks else None
    if words is None:
        words = desk or (NoWords() if settings.reply is None else FixedWord(settings.reply))
    access = Access(settings.allow, settings.deny)
    factory = EchoFactory(words, traffic, settings.acknowledgement, access)
    stopping = Stopping(reactor, settings.drain_seconds)
    service = Daemon(Drain(factory, reactor, settings.drain_seconds), traffic, stopping.on_second_signal, desk)
    fast = settings.transport is Transport.FAST
    connections = partial(
        tcp_port(fast=fast), backlog=settings.backlog, message_size=MESSAGE_SIZE, asked=settings.asked, reactor=reactor
    )
    datagrams = partial(
        udp_port(fast=fast),
        lowest_port=1 if settings.answer_low_ports else _LOWEST_PORT,
        answer_broadcast=settings.answer_broadcast,
        asked=settings.asked,
        reactor=reactor,
    )
    for where in settings.tcp:
        echo = connections(where.port, factory, interface=where.host)
        service.addService(Listener("tcp", where, echo, stopping.failed))
    for where in settings.udp:
        answers = TimeProtocol(time.time, traffic.counters, settings.epoch, access)
        clock = datagrams(where.port, answers, interface=where.host)
        service.addService(Listener("udp", where, clock, stopping.failed))
    if desk is not None and settings.control is not None:
        overview = Overview(factory, [each for each in service if isinstance(each, Listener)])
        admits = admission(settings.control_group)
        operators = ControlFactory(desk, overview, traffic, reactor, admits, settings.encoding)
        service.addService(ControlSocket(settings.control, settings.control_group, operators, reactor))
    if desk is not None and settings.operator:
        service.addService(seat(desk, traffic, reactor, settings.encoding, log_here=settings.log_here))
    return service


def _desk(settings: Settings, reactor: Any) -> Desk:
    limits = Limits(
        settings.max_questions,
        settings.max_questions_per_source,
        settings.reply_deadline,
        settings.wait_for_operator,
    )
    return Desk(reactor, settings.reply or b"", limits)
