"""twistd's door: Options for its command line, makeService for its application. Wiring only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from twisted.python.usage import UsageError
from zope.interface import classImplements

from echotime.daemon import options as daemon_options
from echotime.daemon.activation import Activation, NotPassed, original_environment, passed
from echotime.daemon.control import ControlSocket, admission
from echotime.daemon.failure import start_failed, usage_failed
from echotime.daemon.health import HealthCheck
from echotime.daemon.journal import JOURNAL_LOGGER, is_journal
from echotime.daemon.listeners import Listener
from echotime.daemon.notify import notifier, watchdog_seconds
from echotime.daemon.operator import seat
from echotime.daemon.overview import Overview, status_line
from echotime.daemon.service import Daemon, second_signal
from echotime.daemon.settings import Address, Passed, Settings, Transport
from echotime.daemon.supervision import Supervision
from echotime.desk.control import ControlFactory
from echotime.desk.questions import Desk, Limits
from echotime.ports.adopted import WrongDescriptor
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
        if self.parent is not None and self.settings.log_here and is_journal(1, os.environ):
            # before twistd makes its logger; one that was asked for stays
            self.parent["logger"] = self.parent.get("logger") or JOURNAL_LOGGER


def makeService(options: daemon_options.Options) -> Daemon:
    """The daemon for parsed options, on the reactor that twistd runs."""
    from twisted.internet import reactor

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
    service = Daemon(Drain(factory, reactor, settings.drain_seconds), traffic, second_signal(reactor), desk)
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
    activation = Activation(passed(original_environment()))
    for listener in _listeners("tcp", settings.tcp, connections, lambda: factory, activation):
        service.addService(listener)
    answers = partial(TimeProtocol, time.time, traffic.counters, settings.epoch, access)
    for listener in _listeners("udp", settings.udp, datagrams, answers, activation):
        service.addService(listener)
    activation.close()
    listeners = [each for each in service if isinstance(each, Listener)]
    health = HealthCheck(listeners, factory, reactor)
    if (notify := notifier(os.environ)) is not None:
        figures = partial(status_line, factory)
        service.supervision = Supervision(notify, figures, health, reactor, watchdog_seconds(os.environ))
    if desk is not None and settings.control is not None:
        overview = Overview(factory, listeners, health)
        admits = admission(settings.control_group)
        operators = ControlFactory(desk, overview, traffic, reactor, admits, settings.encoding)
        service.addService(ControlSocket(settings.control, settings.control_group, operators, reactor))
    if desk is not None and settings.operator:
        service.addService(seat(desk, traffic, reactor, settings.encoding, log_here=settings.log_here))
    return service


def _listeners(
    transport: str,
    where: Iterable[Address | Passed],
    port: partial[Any],
    served: Callable[[], Any],
    activation: Activation,
) -> Iterator[Listener]:
    """A listener for each address and each socket that is passed in; by kind come those that no name takes."""
    for each in sorted(where, key=lambda one: isinstance(one, Passed) and one.name is None):
        if isinstance(each, Address):
            yield Listener(transport, each, port(each.port, served(), interface=each.host))
            continue
        try:
            for descriptor in activation.take(transport, each):
                adopted = port.func.adopt(descriptor.number, served(), **port.keywords)  # type: ignore[attr-defined]
                address = Address(adopted.interface, adopted.port)
                yield Listener(transport, address, adopted, origin=f"passed in as {descriptor}")
        except NotPassed as error:
            raise start_failed(str(error), logged=False) from None
        except WrongDescriptor as error:
            raise start_failed(f"--{transport} {each}: {error}", logged=False) from None


def _desk(settings: Settings, reactor: Any) -> Desk:
    limits = Limits(
        settings.max_questions,
        settings.max_questions_per_source,
        settings.reply_deadline,
        settings.wait_for_operator,
    )
    return Desk(reactor, settings.reply or b"", limits)
