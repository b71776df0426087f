"""The daemon put together from its settings. Nothing is opened before the service starts."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import Any

from zope.interface import classImplements

from echotime.daemon.activation import Activation, original_environment, passed
from echotime.daemon.clock_watch import ClockWatch
from echotime.daemon.control import ControlSocket, admission
from echotime.daemon.health import HealthCheck
from echotime.daemon.incidents import Incidents, refusals
from echotime.daemon.limits import ConnectionLimits, room
from echotime.daemon.live import Live
from echotime.daemon.notify import notifier, watchdog_seconds
from echotime.daemon.opening import listeners
from echotime.daemon.operator import seat
from echotime.daemon.overview import Overview, status_line
from echotime.daemon.service import Daemon
from echotime.daemon.settings import Settings
from echotime.daemon.stopping import Stopping
from echotime.daemon.supervision import Supervision
from echotime.desk.control import ControlFactory
from echotime.desk.questions import Desk, Limits
from echotime.ports.one_answer import IOneAnswer
from echotime.ports.tcp import EchoPort
from echotime.ports.udp import TimePort
from echotime.servers.access import Access
from echotime.servers.admission import Admission
from echotime.servers.drain import Drain
from echotime.servers.echo import EchoFactory
from echotime.servers.rate_limit import RateLimit
from echotime.servers.replies import FixedWord, IReplySource, NoWords
from echotime.servers.source import is_loopback
from echotime.servers.time import TimeProtocol
from echotime.servers.timeouts import TimeoutWatch
from echotime.servers.traffic import Traffic
from echotime.wire.message import MESSAGE_SIZE

_LOWEST_PORT = 1024
"""Below are the ports of services that may answer, as RFC 6335 has them; who asks the time asks from a higher one."""
_USUAL_RATE = 1000
"""Datagrams a second of one source: no monitoring comes near it."""

# said here, as servers know nothing of ports
classImplements(TimeProtocol, IOneAnswer)


class Assembly:
    """`service` is the daemon, `live` what of it can be changed. Raises StartFailed if a socket was not passed in.

    `words` is a source of words of one's own, in place of the one that the settings name.
    """

    def __init__(self, settings: Settings, reactor: Any, words: IReplySource | None = None) -> None:
        self._settings = settings
        self._reactor = reactor
        self._own_words = words
        self._serve()
        self._listen()
        self._look_after()
        self.live = Live(
            self._factory,
            self._timeouts,
            self._drain,
            self._desk,
            self._listeners,
            self._set_rate,
            self._set_words,
            _lowest_port,
        )

    def _serve(self) -> None:
        """Who answers what."""
        settings = self._settings
        self._traffic = Traffic(self._reactor, settings.show_messages)
        self._desk = Desk(self._reactor) if settings.asks else None
        self._access = Access(settings.allow, settings.deny)
        self._room = room(settings.max_connections, settings.max_per_source)
        admitting = Admission(self._traffic.counters, self._access, self._room.limits)
        self._factory = EchoFactory(NoWords(), self._traffic, admission=admitting)
        self._set_words(settings)
        self._rate_limit = RateLimit(0, time.monotonic)
        self._set_rate(settings)
        self._timeouts = TimeoutWatch(self._factory, self._reactor, settings.timeouts)
        self._drain = Drain(self._factory, self._reactor, settings.drain_seconds)
        self._stopping = Stopping(self._reactor, settings.drain_seconds)
        self.service = Daemon(self._drain, self._traffic, self._stopping.on_second_signal, self._desk)

    def _listen(self) -> None:
        """Where, and how."""
        settings = self._settings
        common = {"asked": settings.asked, "reactor": self._reactor}
        connections = partial(EchoPort, backlog=settings.backlog, message_size=MESSAGE_SIZE, **common)
        datagrams = partial(
            TimePort,
            lowest_port=_lowest_port(settings),
            answer_broadcast=settings.answer_broadcast,
            **common,
        )
        answers = partial(
            TimeProtocol, time.time, self._traffic.counters, settings.epoch, self._access, self._rate_limit
        )
        activation = Activation(passed(original_environment()))
        failed = self._stopping.failed
        self._listeners = [
            *listeners("tcp", settings.tcp, connections, lambda: self._factory, activation, failed),
            *listeners("udp", settings.udp, datagrams, answers, activation, failed),
        ]
        activation.close()
        for each in self._listeners:
            self.service.addService(each)

    def _look_after(self) -> None:
        """Limits, what the log says of refusals, the service manager, and operators."""
        settings, service, reactor = self._settings, self.service, self._reactor
        if settings.tcp:
            service.addService(ConnectionLimits(self._room, self._timeouts))
        service.addService(Incidents(self._incidents, reactor))
        if settings.require_sync:
            ports = (each.port for each in self._listeners)
            answering = [each.protocol for each in ports if isinstance(each, TimePort)]
            service.addService(ClockWatch(answering, reactor))
        health = HealthCheck(self._listeners, self._factory, reactor)
        if (notify := notifier(os.environ)) is not None:
            figures = partial(status_line, self._factory)
            service.supervision = Supervision(notify, figures, health, reactor, watchdog_seconds(os.environ))
        if self._desk is not None and settings.control is not None:
            overview = Overview(self._factory, self._listeners, health)
            admits = admission(settings.control_group)
            operators = ControlFactory(self._desk, overview, self._traffic, reactor, admits, settings.encoding)
            service.addService(ControlSocket(settings.control, settings.control_group, operators, reactor))
        if self._desk is not None and settings.operator:
            service.addService(seat(self._desk, self._traffic, reactor, settings.encoding, log_here=settings.log_here))

    def _set_words(self, settings: Settings) -> None:
        words = self._own_words or self._desk
        if self._desk is not None:
            self._desk.fallback = settings.reply or b""
            self._desk.limits = Limits(
                settings.max_questions,
                settings.max_questions_per_source,
                settings.reply_deadline,
                settings.wait_for_operator,
            )
        if words is None:
            words = NoWords() if settings.reply is None else FixedWord(settings.reply)
        self._factory.say(words, settings.acknowledgement)

    def _set_rate(self, settings: Settings) -> None:
        if settings.udp_rate is None:
            self._rate_limit.change(_USUAL_RATE, is_loopback)
        else:
            self._rate_limit.change(settings.udp_rate)

    def _incidents(self) -> dict[str, int]:
        found = refusals(self._traffic.counters)
        for listener in self._listeners:
            found.update({f"{listener.where}: {what}": number for what, number in listener.errors().items()})
        return found


def _lowest_port(settings: Settings) -> int:
    return 1 if settings.answer_low_ports else _LOWEST_PORT
