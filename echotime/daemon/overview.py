"""What operators are told of the daemon and may change: desk.overview.IOverview, of real ports and sockets."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import termios
from collections.abc import Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from echotime.daemon.health import Finding, HealthCheck
from echotime.daemon.kernel_clock import clock_state
from echotime.daemon.listeners import Listener
from echotime.desk.commands import PAGE, Refused
from echotime.desk.overview import IOverview, Rows
from echotime.ports.tcp import EchoPort
from echotime.servers.echo import EchoFactory, EchoProtocol
from echotime.sockopt import assignment
from echotime.sockopt.apply import OptionFailed, Reading, read, value_of, warning
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue import CATALOGUE
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.option import Moment, Option, Place, Readable, Target
from echotime.sockopt.tcp_info import tcp_info


@implementer(IOverview)
class Overview:
    """Of the listeners and the connections of one factory."""

    def __init__(self, factory: EchoFactory, listeners: Sequence[Listener], health: HealthCheck) -> None:
        self._factory = factory
        self._health = health
        self._listeners = listeners
        self._clock = factory.traffic.clock
        self._began = self._clock.seconds()

    def status(self) -> dict[str, Any]:
        """A few figures."""
        return {
            "pid": os.getpid(),
            "seconds": self._clock.seconds() - self._began,
            "listening": [each.where for each in self._listeners if each.port.connected],
            "connections": len(self._factory.connections),
            "most_connections": self._factory.admission.limits.connections or 0,
            "clock": str(clock_state()),
        }

    def health(self) -> Deferred[Rows]:
        """A finding for each listener."""
        return self._health.check().addCallback(lambda findings: list(map(_finding_row, findings)))

    def connections(self, after: int) -> tuple[Rows, bool]:
        """A page of them."""
        later = sorted((each for each in self._factory.connections if each.number > after), key=lambda one: one.number)
        return [self._connection(each) for each in later[:PAGE]], len(later) > PAGE

    def _connection(self, connection: EchoProtocol) -> dict[str, Any]:
        transport: Any = connection.transport
        info = tcp_info(transport.socket)
        return {
            "number": connection.number,
            "peer": connection.peer,
            "age": self._clock.seconds() - connection.since,
            "bytes_in": connection.bytes_in,
            "bytes_out": connection.bytes_out,
            "messages": connection.messages,
            "waiting": connection.waiting,
            "rtt": info.rtt,
            "retransmits": info.total_retransmits,
            "unsent": _unacknowledged(transport.socket) + _buffered(transport),
        }

    def sockopts(self, target: str, names: list[str]) -> Rows:
        """Those asked for at start, those named, or all."""
        options = list(CATALOGUE) if names == ["all"] else [_named(each) for each in names]
        return [
            row
            for where, sock, kind, asked in self._sockets(target)
            for row in (_shown(where, sock, kind, options) if options else map(_row_of(where), asked))
        ]

    def set_option(self, target: str, text: str) -> Rows:
        """Set one on every socket of the target that it can have an effect on."""
        try:
            asked = assignment.parse(text)
        except ValueError as error:
            raise Refused(str(error)) from None
        rows = []
        for where, live, kind in self._live(target):
            if asked.fits(kind):
                _in_time(asked.option, of_connection=target not in {"tcp", "udp"})
                rows.append(self._changed(where, live, asked, kind.transport))
        if not rows:
            raise Refused(f"{asked.option.name} has no effect on {target}")
        return rows

    def _changed(self, where: str, live: Any, asked: Assignment, transport: str) -> dict[str, Any]:
        try:
            row = _row(where, live.change(asked))
        except OptionFailed as failed:
            raise Refused(f"{where}: {failed}") from None
        if danger := warning(asked, transport):
            row["remark"] = "; ".join(filter(None, [row["remark"], f"warning: {danger}"]))
        return row

    def backlog(self, limit: int | None) -> Rows:
        """The queues of all listeners."""
        rows = []
        for listener in self._listeners:
            if isinstance(listener.port, EchoPort) and listener.port.connected:
                if limit is not None:
                    listener.port.listen_again(limit)
                info = tcp_info(listener.port.socket)
                rows.append({"where": listener.where, "waiting": info.waiting, "limit": info.limit})
        return rows

    def end(self, number: int, orderly: bool) -> str:
        """Close or reset."""
        connection = self._numbered(number)
        if orderly:
            connection.close("operator")
        else:
            connection.reset("operator's reset")
        return connection.peer

    def counters(self) -> Rows:
        """What was served, and what went wrong at the ports."""
        rows = [{"name": name, "value": value} for name, value in vars(self._factory.counters()).items()]
        for listener in self._listeners:
            rows += [{"name": f"{listener.where}: {what}", "value": value} for what, value in listener.errors().items()]
        return rows

    def _numbered(self, number: int) -> EchoProtocol:
        for connection in self._factory.connections:
            if connection.number == number:
                return connection
        raise Refused(f"there is no connection {number}")

    def _live(self, target: str) -> Iterator[tuple[str, Any, Target]]:
        """Name, what has `change`, and kind, of the target's sockets."""
        if target in {"tcp", "udp"}:
            for listener in self._listeners:
                if listener.transport == target and listener.port.connected:
                    yield listener.where, listener.port, listener.port.kind
            return
        if not (target.isascii() and target.isdigit()):
            raise Refused(f"'{target}' is no target; expected tcp, udp or the number of a connection")
        connection = self._numbered(int(target))
        transport: Any = connection.transport
        version = 6 if transport.socket.family == socket.AF_INET6 else 4
        yield f"connection {target}", transport, Target("tcp", frozenset({version}))

    def _sockets(self, target: str) -> Iterator[tuple[str, socket.socket, Place, list[Reading]]]:
        for where, live, kind in self._live(target):
            if target in {"tcp", "udp"}:
                place = Place.LISTENER if target == "tcp" else Place.UDP
                yield where, live.socket, place, live.readings()
            else:
                asked = [each for each in live.asked if each.fits(kind)]
                yield where, live.socket, Place.CONNECTION, [read(live.socket, each) for each in asked]


def status_line(factory: EchoFactory) -> str:
    """The daemon in a line, for the service manager."""
    counters = factory.counters()
    return (
        f"open connections: {len(factory.connections)}; since the start: connections: {counters.connections}, "
        f"messages: {counters.messages}, datagrams: {counters.datagrams}"
    )


def _finding_row(finding: Finding) -> dict[str, Any]:
    return {
        "where": finding.where,
        "verdict": finding.verdict.value,
        "milliseconds": finding.seconds * 1000,
        "reason": finding.reason,
    }


def _named(text: str) -> Option:
    try:
        return assignment.named(text)
    except ValueError as error:
        raise Refused(str(error)) from None


def _in_time(option: Option, *, of_connection: bool) -> None:
    """Refuse what comes too late, saying when it could be set."""
    if option.moment is Moment.BEFORE_BIND:
        raise Refused(f"{option.name} must be set before bind: start with --sockopt {option.name}=...")
    if of_connection and option.moment is Moment.BEFORE_CONNECTION:
        raise Refused(f"{option.name} must be set before the connection; set it on tcp, for those to come")


def _shown(where: str, sock: socket.socket, place: Place, options: list[Option]) -> Iterator[dict[str, Any]]:
    """What options are on a socket that may be in use: those are left out that reading would change."""
    for option in options:
        if option.readable is Readable.YES and place in option.places:
            try:
                effective = option.form.show(value_of(sock, option))
            except OSError as error:
                effective = errno_name(error)
            yield {"where": where, "name": option.name, "asked": "", "effective": effective, "remark": ""}


def _row_of(where: str) -> Any:
    return lambda reading: _row(where, reading)


def _row(where: str, reading: Reading) -> dict[str, Any]:
    option = reading.asked.option
    return {
        "where": where,
        "name": option.name,
        "asked": option.form.show(reading.asked.value),
        "effective": reading.effective,
        "remark": reading.remark,
    }


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes that the kernel keeps as the client has not acknowledged them (SIOCOUTQ of tcp(7))."""
    answer = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, answer)
    return int(answer[0])


def _buffered(transport: Any) -> int:
    """Bytes that the kernel has not taken yet."""
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)
