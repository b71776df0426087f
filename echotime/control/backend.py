"""Read and change the running daemon's listeners, connections and socket options for the control socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from heapq import nlargest, nsmallest
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

from twisted.internet.defer import Deferred

from echotime.control.commands import PAGE_SIZE, CommandError, InvalidArgument, Rows
from echotime.counters import LOG_COUNTERS, RECORD_COUNTERS, values
from echotime.health.check import HealthCheck, ProbeResult
from echotime.health.readiness import Readiness
from echotime.net.listener import Listener, ListeningPort, SockoptSocket
from echotime.net.tcp import EchoPort
from echotime.services.echo_factory import EchoFactory
from echotime.services.tcp_echo import EchoProtocol
from echotime.sockopt import assignment
from echotime.sockopt.apply import OptionError, ReadBack, get_value, warning
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.catalogue.index import CATALOGUE
from echotime.sockopt.errno_name import errno_name
from echotime.sockopt.option import Option, Readable, SetDeadline, SocketRole
from echotime.sockopt.tcp_info import read_tcp_info
from echotime.wire.connection_end import BY_OPERATOR, BY_OPERATOR_RESET

_KERNEL_COLUMNS = ("rtt", "retransmits", "unsent")
CONNECTION_COLUMNS = (
    *("number", "peer", "via", "age", "bytes_in", "bytes_out", "messages", "awaiting_reply"),
    *_KERNEL_COLUMNS,
)
"""The columns of commands.Connections."""
MAX_KERNEL_SORTED = 1000
"""Connections that are ordered by a column of the kernel, at most."""
_ROLES = {"tcp": SocketRole.LISTENER, "udp": SocketRole.UDP}


class ControlBackend:
    """Read and change the listeners and the connections of `factory`.

    `clock_state` returns the synchronization status of the system clock. Every method may raise CommandError.
    """

    def __init__(
        self,
        factory: EchoFactory,
        tcp: Sequence[Listener[EchoPort]],
        udp: Sequence[Listener[ListeningPort]],
        health: HealthCheck,
        readiness: Readiness,
        clock_state: Callable[[], str],
    ) -> None:
        self._factory = factory
        self._health = health
        self._readiness = readiness
        self._tcp = tcp
        self._by_transport: dict[str, Sequence[Listener[ListeningPort]]] = {"tcp": tcp, "udp": udp}
        self._clock_state = clock_state
        self._clock = factory.traffic.clock
        self._started_at = self._clock.seconds()

    @property
    def _listeners(self) -> Iterator[Listener[ListeningPort]]:
        """Yield all listeners. Those of --behave come and go."""
        return chain(*self._by_transport.values())

    def status(self) -> dict[str, Any]:
        """Return the response to commands.Status, without questions, operators and health."""
        return {
            "pid": os.getpid(),
            "seconds": self._clock.seconds() - self._started_at,
            "listening": [each.label for each in self._listeners if each.port.connected],
            "connections": len(self._factory.connections),
            "max_connections": self._factory.admission.limits.max_connections or 0,
            "clock": self._clock_state(),
            "stopping_in": self._readiness.seconds_left,
        }

    def health(self) -> Deferred[Rows]:
        """Check every listener. The Deferred fires with the `health` rows of commands.Status."""
        return self._health.check().addCallback(lambda results: list(map(health_row, results)))

    def connections(self, after: int) -> tuple[Rows, bool]:
        """Return a page of connections with numbers above `after`, and True if there are more."""
        remaining = sorted(
            (each for each in self._factory.connections if each.number > after), key=lambda one: one.number
        )
        return [self._connection_row(each) for each in remaining[:PAGE_SIZE]], len(remaining) > PAGE_SIZE

    def top_connections(self, sort: str, limit: int, *, descending: bool) -> Rows:
        """Return the first connections by one of CONNECTION_COLUMNS.

        A column that the kernel knows costs a system call for each connection. It orders the newest connections only.
        """
        select = nlargest if descending else nsmallest
        if sort in _KERNEL_COLUMNS:
            newest = nlargest(MAX_KERNEL_SORTED, self._factory.connections, key=lambda one: one.number)
            return select(limit, map(self._connection_row, newest), key=itemgetter(sort))
        attribute = attrgetter("connected_at" if sort == "age" else sort)
        if sort == "age":
            select = nsmallest if descending else nlargest
        return [self._connection_row(each) for each in select(limit, self._factory.connections, key=attribute)]

    def _connection_row(self, connection: EchoProtocol) -> dict[str, Any]:
        transport: Any = connection.transport
        info = read_tcp_info(transport.socket)
        return {
            "number": connection.number,
            "peer": connection.peer,
            "via": connection.via,
            "age": self._clock.seconds() - connection.connected_at,
            "bytes_in": connection.bytes_in,
            "bytes_out": connection.bytes_out,
            "messages": connection.messages,
            "awaiting_reply": connection.awaiting_reply,
            "rtt": info.rtt / 1000,
            "retransmits": info.total_retransmits,
            "unsent": transport.unacked_bytes(),
        }

    def sockopts(self, target: str, names: list[str]) -> Rows:
        """Return the requested options of live sockets, the named options, or with ``all`` every readable option."""
        options = list(CATALOGUE) if names == ["all"] else [_lookup_option(each) for each in names]
        rows: Rows = []
        role = _ROLES.get(target, SocketRole.CONNECTION)
        for label, each in self._target_sockets(target):
            if options:
                rows += _read_options(label, each.socket, role, options)
            else:
                rows += [_sockopt_row(label, reading) for reading in each.read_back()]
        return rows

    def set_option(self, target: str, text: str) -> Rows:
        """Set an option, given as ``NAME=VALUE``, on every socket of the target that it fits."""
        try:
            requested = assignment.parse(text)
        except ValueError as error:
            raise InvalidArgument(str(error)) from None
        rows = []
        for label, each in self._target_sockets(target):
            if requested.fits(each.kind):
                _check_settable(requested.option, on_connection=target not in self._by_transport)
                rows.append(_set_on(label, each, requested))
        if not rows:
            raise CommandError(f"{requested.option.name} has no effect on {target}")
        return rows

    def backlog(self, limit: int | None) -> Rows:
        """Return the accept queues. With a limit, call listen(2) with it first, and leave out those that are fixed."""
        rows = []
        for listener in self._tcp:
            if listener.port.connected and (limit is None or listener.port.fixed_backlog is None):
                if limit is not None:
                    listener.port.set_backlog(limit)
                info = read_tcp_info(listener.port.socket)
                rows.append(
                    {"listener": listener.label, "pending": info.accept_queue, "limit": info.accept_queue_limit}
                )
        return rows

    def close_connection(self, number: int, orderly: bool) -> str:
        """Close a connection after its pending output, or reset it. Return its peer."""
        connection = self._find_connection(number)
        if orderly:
            connection.close(BY_OPERATOR)
        else:
            connection.reset(BY_OPERATOR_RESET)
        return connection.peer

    def counters(self) -> Rows:
        """Return the counters of the services and the log, and the errors of the ports."""
        counters = chain(values(self._factory.counters()), values(LOG_COUNTERS), values(RECORD_COUNTERS))
        rows: Rows = [{"name": name, "value": value} for name, value in counters]
        for listener in self._listeners:
            rows += [
                {"name": f"{listener.label}: {error}", "value": value} for error, value in listener.errors().items()
            ]
        return rows

    def _find_connection(self, number: int) -> EchoProtocol:
        for connection in self._factory.connections:
            if connection.number == number:
                return connection
        raise CommandError(f"no connection {number}")

    def _target_sockets(self, target: str) -> Iterator[tuple[str, SockoptSocket]]:
        """Yield each port or connection of the target, with its label."""
        if target in self._by_transport:
            for listener in self._by_transport[target]:
                if listener.port.connected:
                    yield listener.label, listener.port
        elif target.isascii() and target.isdigit():
            transport: Any = self._find_connection(int(target)).transport
            yield f"connection {target}", transport
        else:
            raise InvalidArgument(f"unknown target '{target}'; expected tcp, udp or a connection number")


def status_line(factory: EchoFactory, readiness: Readiness) -> str:
    """Return the status line for the service manager."""
    counters, seconds_left = factory.counters(), readiness.seconds_left
    stopping = f"stopping in {seconds_left:.0f} s; " if seconds_left else ""
    return (
        f"{stopping}open connections: {len(factory.connections)}; since the start: "
        f"connections: {counters.connections}, messages: {counters.messages}, datagrams: {counters.datagrams}"
    )


def health_row(result: ProbeResult) -> dict[str, Any]:
    """Return a `health` row of commands.Status."""
    return {
        "listener": result.listener,
        "status": result.status.value,
        "seconds": result.seconds,
        "reason": result.reason,
    }


def _lookup_option(text: str) -> Option:
    try:
        return assignment.lookup(text)
    except ValueError as error:
        raise InvalidArgument(str(error)) from None


def _check_settable(option: Option, *, on_connection: bool) -> None:
    """Raise CommandError if it is too late to set the option."""
    if option.set_deadline is SetDeadline.BEFORE_BIND:
        raise CommandError(f"{option.name} must be set before bind: start with --sockopt {option.name}=...")
    if on_connection and option.set_deadline is SetDeadline.BEFORE_CONNECTION:
        raise CommandError(f"{option.name} must be set before the connection; set it on tcp for later connections")


def _read_options(label: str, sock: socket.socket, role: SocketRole, options: list[Option]) -> Iterator[dict[str, Any]]:
    """Yield the values of the options that can be read without changing the socket."""
    for option in options:
        if option.readable is Readable.YES and role in option.roles:
            try:
                effective = option.value_type.show(get_value(sock, option))
            except OSError as error:
                effective = errno_name(error)
            yield {"socket": label, "name": option.name, "requested": "", "effective": effective, "note": ""}


def _set_on(label: str, target: SockoptSocket, requested: Assignment) -> dict[str, Any]:
    try:
        row = _sockopt_row(label, target.set_option(requested))
    except OptionError as failed:
        raise CommandError(f"{label}: {failed}") from None
    if hazard := warning(requested, target.kind.transport):
        row["note"] = "; ".join(filter(None, [row["note"], f"warning: {hazard}"]))
    return row


def _sockopt_row(label: str, reading: ReadBack) -> dict[str, Any]:
    option = reading.assignment.option
    return {
        "socket": label,
        "name": option.name,
        "requested": option.value_type.show(reading.assignment.value),
        "effective": reading.effective,
        "note": reading.remark,
    }
