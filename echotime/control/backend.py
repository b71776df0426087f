"""Implement IControlBackend: read and change the running daemon's listeners, connections and options."""

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

from echotime.control.commands import PAGE_SIZE, CommandError
from echotime.control.interface import IControlBackend, Rows
from echotime.health.check import HealthCheck, ProbeResult
from echotime.net.listener import Listener
from echotime.net.tcp import EchoPort
from echotime.services.tcp_echo import EchoFactory, EchoProtocol
from echotime.sockopt import assignment
from echotime.sockopt.apply import OptionError, ReadBack, get_value, read_back, warning
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import CATALOGUE
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.option import Option, Readable, SetDeadline, SocketRole, SocketTraits
from echotime.sockopt.tcp_info import read_tcp_info
from echotime.systemd.kernel_clock import read_adjtimex


@implementer(IControlBackend)
class ControlBackend:
    """Of the listeners and the connections of one factory."""

    def __init__(self, factory: EchoFactory, listeners: Sequence[Listener], health: HealthCheck) -> None:
        self._factory = factory
        self._health = health
        self._listeners = listeners
        self._clock = factory.traffic.clock
        self._started_at = self._clock.seconds()

    def status(self) -> dict[str, Any]:
        """A few figures."""
        return {
            "pid": os.getpid(),
            "seconds": self._clock.seconds() - self._started_at,
            "listening": [each.label for each in self._listeners if each.port.connected],
            "connections": len(self._factory.connections),
            "most_connections": self._factory.admission.limits.max_connections or 0,
            "clock": str(read_adjtimex()),
        }

    def health(self) -> Deferred[Rows]:
        """A finding for each listener."""
        return self._health.check().addCallback(lambda findings: list(map(_health_row, findings)))

    def connections(self, after: int) -> tuple[Rows, bool]:
        """A page of them."""
        remaining = sorted(
            (each for each in self._factory.connections if each.number > after), key=lambda one: one.number
        )
        return [self._connection_row(each) for each in remaining[:PAGE_SIZE]], len(remaining) > PAGE_SIZE

    def _connection_row(self, connection: EchoProtocol) -> dict[str, Any]:
        transport: Any = connection.transport
        info = read_tcp_info(transport.socket)
        return {
            "number": connection.number,
            "peer": connection.peer,
            "age": self._clock.seconds() - connection.connected_at,
            "bytes_in": connection.bytes_in,
            "bytes_out": connection.bytes_out,
            "messages": connection.messages,
            "waiting": connection.awaiting_reply,
            "rtt": info.rtt,
            "retransmits": info.total_retransmits,
            "unsent": _unacked_bytes(transport.socket) + _buffered_bytes(transport),
        }

    def sockopts(self, target: str, names: list[str]) -> Rows:
        """Those asked for at start, those named, or all."""
        options = list(CATALOGUE) if names == ["all"] else [_lookup_option(each) for each in names]
        return [
            row
            for label, sock, role, readings in self._target_readings(target)
            for row in (
                _read_options(label, sock, role, options) if options else map(_sockopt_row_maker(label), readings)
            )
        ]

    def set_option(self, target: str, text: str) -> Rows:
        """Set one on every socket of the target that it can have an effect on."""
        try:
            requested = assignment.parse(text)
        except ValueError as error:
            raise CommandError(str(error)) from None
        rows = []
        for label, settable, traits in self._target_sockets(target):
            if requested.fits(traits):
                _check_settable(requested.option, on_connection=target not in {"tcp", "udp"})
                rows.append(self._set_on(label, settable, requested, traits.transport))
        if not rows:
            raise CommandError(f"{requested.option.name} has no effect on {target}")
        return rows

    def _set_on(self, label: str, settable: Any, requested: Assignment, transport: str) -> dict[str, Any]:
        try:
            row = _sockopt_row(label, settable.set_option(requested))
        except OptionError as failed:
            raise CommandError(f"{label}: {failed}") from None
        if hazard := warning(requested, transport):
            row["remark"] = "; ".join(filter(None, [row["remark"], f"warning: {hazard}"]))
        return row

    def backlog(self, limit: int | None) -> Rows:
        """The queues of all listeners."""
        rows = []
        for listener in self._listeners:
            if isinstance(listener.port, EchoPort) and listener.port.connected:
                if limit is not None:
                    listener.port.set_backlog(limit)
                info = read_tcp_info(listener.port.socket)
                rows.append({"where": listener.label, "waiting": info.accept_queue, "limit": info.accept_queue_limit})
        return rows

    def close_connection(self, number: int, orderly: bool) -> str:
        """Close or reset."""
        connection = self._find_connection(number)
        if orderly:
            connection.close("operator")
        else:
            connection.reset("operator's reset")
        return connection.peer

    def counters(self) -> Rows:
        """What was served, and what went wrong at the ports."""
        rows = [{"name": name, "value": value} for name, value in vars(self._factory.counters()).items()]
        for listener in self._listeners:
            rows += [
                {"name": f"{listener.label}: {error}", "value": value} for error, value in listener.errors().items()
            ]
        return rows

    def _find_connection(self, number: int) -> EchoProtocol:
        for connection in self._factory.connections:
            if connection.number == number:
                return connection
        raise CommandError(f"there is no connection {number}")

    def _target_sockets(self, target: str) -> Iterator[tuple[str, Any, SocketTraits]]:
        """Name, what has `change`, and kind, of the target's sockets."""
        if target in {"tcp", "udp"}:
            for listener in self._listeners:
                if listener.transport == target and listener.port.connected:
                    yield listener.label, listener.port, listener.port.kind
            return
        if not (target.isascii() and target.isdigit()):
            raise CommandError(f"'{target}' is no target; expected tcp, udp or the number of a connection")
        connection = self._find_connection(int(target))
        transport: Any = connection.transport
        version = 6 if transport.socket.family == socket.AF_INET6 else 4
        yield f"connection {target}", transport, SocketTraits("tcp", frozenset({version}))

    def _target_readings(self, target: str) -> Iterator[tuple[str, socket.socket, SocketRole, list[ReadBack]]]:
        for label, settable, traits in self._target_sockets(target):
            if target in {"tcp", "udp"}:
                role = SocketRole.LISTENER if target == "tcp" else SocketRole.UDP
                yield label, settable.socket, role, settable.read_back()
            else:
                assignments = [each for each in settable.sockopts if each.fits(traits)]
                yield (
                    label,
                    settable.socket,
                    SocketRole.CONNECTION,
                    [read_back(settable.socket, each) for each in assignments],
                )


def status_line(factory: EchoFactory) -> str:
    """The daemon in a line, for the service manager."""
    counters = factory.counters()
    return (
        f"open connections: {len(factory.connections)}; since the start: connections: {counters.connections}, "
        f"messages: {counters.messages}, datagrams: {counters.datagrams}"
    )


def _health_row(result: ProbeResult) -> dict[str, Any]:
    return {
        "where": result.listener,
        "verdict": result.status.value,
        "milliseconds": result.seconds * 1000,
        "reason": result.reason,
    }


def _lookup_option(text: str) -> Option:
    try:
        return assignment.lookup(text)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _check_settable(option: Option, *, on_connection: bool) -> None:
    """Refuse what comes too late, saying when it could be set."""
    if option.set_deadline is SetDeadline.BEFORE_BIND:
        raise CommandError(f"{option.name} must be set before bind: start with --sockopt {option.name}=...")
    if on_connection and option.set_deadline is SetDeadline.BEFORE_CONNECTION:
        raise CommandError(f"{option.name} must be set before the connection; set it on tcp, for those to come")


def _read_options(label: str, sock: socket.socket, role: SocketRole, options: list[Option]) -> Iterator[dict[str, Any]]:
    """What options are on a socket that may be in use: those are left out that reading would change."""
    for option in options:
        if option.readable is Readable.YES and role in option.roles:
            try:
                effective = option.value_type.show(get_value(sock, option))
            except OSError as error:
                effective = errno_name(error)
            yield {"where": label, "name": option.name, "asked": "", "effective": effective, "remark": ""}


def _sockopt_row_maker(label: str) -> Any:
    return lambda reading: _sockopt_row(label, reading)


def _sockopt_row(label: str, reading: ReadBack) -> dict[str, Any]:
    option = reading.assignment.option
    return {
        "where": label,
        "name": option.name,
        "asked": option.value_type.show(reading.assignment.value),
        "effective": reading.effective,
        "remark": reading.remark,
    }


def _unacked_bytes(sock: socket.socket) -> int:
    """Bytes that the kernel keeps as the client has not acknowledged them (SIOCOUTQ of tcp(7))."""
    outq = array.array("i", [0])
    fcntl.ioctl(sock, termios.TIOCOUTQ, outq)
    return int(outq[0])


def _buffered_bytes(transport: Any) -> int:
    """Bytes that the kernel has not taken yet."""
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)
