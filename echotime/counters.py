"""Counters of both services, of the reply queue and of the log, each declared once as a field with its help text.

A new counter needs two edits: the field, and the line that increments it. `echotime control counters`, the log and the
totals of refusals, the number of datagrams handled, /metrics and the table in docs/monitoring.md follow from the
declaration. For a refused datagram the line is a Rule in services/datagram_policy.py, and the field needs `log_name`
and `handled`.
A field's name is public: it is the counter's name in JSON, journal fields and metrics (tests/unit/test_counters.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple, Protocol


class Metric(NamedTuple):
    """Name the metric that shows a counter, without ``echotime_`` and ``_total``, and the label that tells it apart."""

    family: str
    label: str = ""
    value: str = ""


_REFUSED = {"connection": "connections_refused", "datagram": "datagrams_unanswered"}
"""The metric of refusals, by Counter.handled."""
METRIC_HELP = {
    "connections_refused": "Connections closed at once or reset before they were served.",
    "connections_ended": "Connections that the daemon ended by itself.",
    "datagrams_unanswered": "UDP datagrams received and not answered.",
    "received_bytes": "Bytes received.",
    "sent_bytes": "Bytes handed to the transports.",
    "questions": "Messages that were due an operator's reply.",
}
"""The help of each metric that shows more than one counter, told apart by a label."""


class Counter(NamedTuple):
    """Describe one counter: its name, one sentence of help, and for a refusal its name in the log."""

    name: str
    help: str
    log_name: str = ""
    """Names what was refused, and the reason in parentheses. Empty for a counter of anything other than refusals."""
    handled: str = ""
    """``connection`` for refused connections, ``datagram`` for answered or refused datagrams, empty otherwise."""
    metric: Metric = Metric("")
    """Names the metric. Declared only where it does not follow from the rest; see `_default_metric`."""


def counter(help_text: str, log_name: str = "", handled: str = "", metric: Metric | None = None) -> Any:
    """Declare a counter as a field of a dataclass. The parameters are those of Counter."""
    return field(default=0, metadata={"counter": (help_text, log_name, handled, metric)})


class Counters(Protocol):
    """A dataclass of counters, or an instance of one."""

    prefix: ClassVar[str]
    """Precedes the names of the counters for users."""
    label: ClassVar[str]
    """The label by which one metric, named by the prefix, shows all counters. Empty for a metric each."""
    __dataclass_fields__: ClassVar[dict[str, Any]]


def declared(counters: Counters | type[Counters]) -> Iterator[Counter]:
    """Yield the declaration of each counter of a dataclass or of an instance of one."""
    for each in fields(counters):
        help_text, log_name, handled, metric = each.metadata["counter"]
        yield Counter(
            each.name, help_text, log_name, handled, metric or _default_metric(counters, each.name, log_name, handled)
        )


def values(counters: Counters) -> Iterator[tuple[str, int]]:
    """Yield the name of each counter for users, and its value."""
    for each in declared(counters):
        yield counters.prefix + each.name, getattr(counters, each.name)


def _default_metric(counters: Counters | type[Counters], name: str, log_name: str, handled: str) -> Metric:
    """Return the metric of a counter that declares none. A refusal has the reason in the log as its label."""
    if log_name and handled:
        return Metric(_REFUSED[handled], "reason", log_name.partition("(")[2].rstrip(")"))
    if counters.label:
        return Metric(counters.prefix.rstrip("_"), counters.label, name.replace("_", " "))
    return Metric(counters.prefix + name)


class ConnectionStats(Protocol):
    """The counters of one connection, which are added to those of the service when it ends."""

    @property
    def messages(self) -> int: ...

    @property
    def bytes_in(self) -> int: ...

    @property
    def bytes_out(self) -> int: ...


@dataclass
class ServiceCounters:
    """Count what both services did since the start. The figures of a connection are added when it ends."""

    prefix: ClassVar[str] = ""
    label: ClassVar[str] = ""

    connections: int = counter("TCP connections that ended.")
    empty_connections: int = counter("Connections that ended without a message, such as health checks.")
    messages: int = counter("Messages received on TCP connections.")
    bytes_in: int = counter("Bytes received on TCP connections.", metric=Metric("received_bytes", "transport", "tcp"))
    bytes_out: int = counter(
        "Bytes handed to the transports of TCP connections.", metric=Metric("sent_bytes", "transport", "tcp")
    )
    datagrams: int = counter("UDP datagrams answered.", handled="datagram")
    quiet_connections: int = counter("TCP connections of --quiet that ended, which no other counter includes.")
    quiet_datagrams: int = counter("UDP datagrams of --quiet answered.", handled="datagram")
    refused_connections: int = counter(
        "Connections closed at once because of an access list.", "connections refused (access list)", "connection"
    )
    refused_source_limit: int = counter(
        "Connections closed at once because their source had reached --max-per-source.",
        "connections refused (source limit)",
        "connection",
    )
    refused_connection_limit: int = counter(
        "Connections closed at once because of --max-connections.",
        "connections refused (connection limit)",
        "connection",
    )
    refused_no_proxy_header: int = counter(
        "Connections from networks of --proxy-protocol reset because they did not begin with a PROXY header.",
        "connections refused (no PROXY header)",
        "connection",
    )
    refused_proxy_header: int = counter(
        "Connections from networks of --proxy-protocol reset because of a malformed PROXY header.",
        "connections refused (malformed PROXY header)",
        "connection",
    )
    evicted: int = counter(
        "Connections reset in favor of a source without connections.",
        "connections evicted (connection limit)",
        metric=Metric("connections_ended", "by", "eviction"),
    )
    idle_timeouts: int = counter(
        "Connections ended by --idle-timeout.", metric=Metric("connections_ended", "by", "idle timeout")
    )
    half_closed_timeouts: int = counter(
        "Connections ended by --half-closed-timeout.", metric=Metric("connections_ended", "by", "half-closed timeout")
    )
    session_timeouts: int = counter(
        "Connections ended by --session-timeout.", metric=Metric("connections_ended", "by", "session timeout")
    )
    refused_unspecified_source: int = counter(
        "Datagrams not answered because their source was the unspecified address.",
        "datagrams refused (unspecified source)",
        "datagram",
    )
    refused_own_address: int = counter(
        "Datagrams not answered because they came from the daemon's own address and port.",
        "datagrams refused (own address)",
        "datagram",
    )
    refused_low_port: int = counter(
        "Datagrams from low source ports that the daemon refused, because the kernel could not drop them.",
        "datagrams refused (low port)",
        "datagram",
    )
    refused_broadcast: int = counter(
        "Datagrams to a broadcast or multicast address, not answered without --answer-broadcast.",
        "datagrams refused (broadcast or multicast)",
        "datagram",
    )
    refused_datagrams: int = counter(
        "Datagrams not answered because of an access list.", "datagrams refused (access list)", "datagram"
    )
    refused_rate_limit: int = counter(
        "Datagrams not answered because of --udp-rate.", "datagrams refused (rate limit)", "datagram"
    )
    refused_unsynced: int = counter(
        "Datagrams not answered because of --require-sync.", "datagrams refused (clock not synchronized)", "datagram"
    )
    refused_loop: int = counter(
        "Datagrams not answered because they looked like replies in a loop.", "datagrams refused (loop)", "datagram"
    )
    health_checks: int = counter("Probes by the daemon's own health check, which no other counter includes.")

    def __post_init__(self) -> None:
        self.last_refused: dict[str, str] = {}
        """The numeric address of the last client that was refused, by counter."""

    def refuse(self, name: str, host: str) -> None:
        """Count a client with the numeric address `host` as refused, by the counter `name`."""
        setattr(self, name, getattr(self, name) + 1)
        self.last_refused[name] = host

    @property
    def datagrams_handled(self) -> int:
        """Return the number of datagrams received, answered or not."""
        return self._sum("datagram")

    @property
    def connections_refused(self) -> int:
        """Return the number of connections that were accepted and closed at once."""
        return self._sum("connection")

    def _sum(self, handled: str) -> int:
        return sum(getattr(self, each.name) for each in declared(self) if each.handled == handled)

    def refusals(self) -> dict[str, int]:
        """Return the number of refusals by their names in the log. Zeros are left out."""
        return {
            each.log_name: count for each in declared(self) if each.log_name and (count := getattr(self, each.name))
        }

    def refused_sources(self) -> dict[str, str]:
        """Return the numeric address of the last refused client, by the refusal's name in the log."""
        return {
            each.log_name: self.last_refused[each.name] for each in declared(self) if each.name in self.last_refused
        }

    def add(self, connection: ConnectionStats) -> None:
        """Add the counters of a connection that ended."""
        self.messages += connection.messages
        self.bytes_in += connection.bytes_in
        self.bytes_out += connection.bytes_out


@dataclass
class ReplyCounters:
    """Count what became of the messages that were due an operator's reply, since the start.

    Each message counts as `queued`, or as one of the three that got the default reply at once.
    """

    prefix: ClassVar[str] = "questions_"
    label: ClassVar[str] = "outcome"

    queued: int = counter("Messages queued for an operator's reply.", metric=Metric("questions_queued"))
    unattended: int = counter("Messages given the default reply at once, because no operator was present.")
    beyond_limit: int = counter("Messages given the default reply at once, because too many were pending.")
    stopped: int = counter("Messages given the default reply at once, because the daemon was stopping.")
    answered: int = counter("Queued messages that an operator replied to.")
    expired: int = counter("Queued messages given the default reply at the deadline.")
    abandoned: int = counter("Queued messages whose connection ended first.")
    given_up: int = counter(
        "Queued messages given the default reply when no operator was present any more or at shutdown."
    )


@dataclass
class LogCounters:
    """Count what the log lost since the start."""

    prefix: ClassVar[str] = "log_"
    label: ClassVar[str] = ""

    lines_lost: int = counter("Lines of the log on standard output that were dropped, because nothing read them.")


LOG_COUNTERS = LogCounters()
"""The counters of this process, which has one standard output."""


@dataclass
class RecordCounters:
    """Count what the record of --record lost since the start."""

    prefix: ClassVar[str] = "record_"
    label: ClassVar[str] = ""

    lines_lost: int = counter("Lines of --record that were not written, because the file did not take them in time.")


RECORD_COUNTERS = RecordCounters()
"""The counters of this process, which has one record."""
