"""Print what `echotime ping` sees: a line for each event, as text or as JSON, and the summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

from echotime.cli.output.streams import print_line
from echotime.cli.output.verdict import describe_failure
from echotime.client.exit_status import ClientError
from echotime.client.lookup import ResolvedAddress
from echotime.client.ping import ReplyKind, Summary
from echotime.client.stats import compute_stats, format_stats
from echotime.i18n.language import gettext as _
from echotime.wire.hostport import HostPort
from echotime.wire.json_line import format_json


class SilentPrinter:
    """Print nothing while probes are sent."""

    def reply_received(self, sequence: int, kind: ReplyKind, seconds: float, detail: str) -> None:
        """Print nothing for an answer."""

    def probe_failed(self, sequence: int, error: ClientError) -> None:
        """Print nothing for a probe that was not sent, or refused."""

    def probe_lost(self, sequence: int, reason: str) -> None:
        """Print nothing for a probe without an answer."""

    def connection_lost(self, error: ClientError | None) -> None:
        """Print nothing at the end of the connection."""


class TextPrinter:
    """Print a line for each event, with the Unix time before it if `timestamps`, as ping -D does."""

    def __init__(self, address: ResolvedAddress, *, timestamps: bool) -> None:
        self._address = str(address.hostport)
        self._timestamps = timestamps
        self._marks = {
            ReplyKind.REPLY: "",
            ReplyKind.DUPLICATE: _(" (duplicate)"),
            ReplyKind.LATE: _(" (late)"),
            ReplyKind.WRONG: _(" (wrong)"),
        }

    def reply_received(self, sequence: int, kind: ReplyKind, seconds: float, detail: str) -> None:
        text = _("from {server}: seq={sequence} time={ms:.3f} ms{mark}").format(
            server=self._address, sequence=sequence, ms=seconds * 1000, mark=self._marks[kind]
        )
        self._print(f"{text} {detail}".rstrip())

    def probe_failed(self, sequence: int, error: ClientError) -> None:
        self._print(
            _("{server}: seq={sequence}: {reason}").format(
                server=self._address, sequence=sequence, reason=describe_failure(error)
            )
        )

    def probe_lost(self, sequence: int, reason: str) -> None:
        self._print(
            _("{server}: seq={sequence}: {reason}").format(
                server=self._address, sequence=sequence, reason=reason or _("no answer")
            )
        )

    def connection_lost(self, error: ClientError | None) -> None:
        if error is None:
            self._print(_("{server}: the server closed the connection").format(server=self._address))
        else:
            self._print(_("{server}: {reason}").format(server=self._address, reason=describe_failure(error)))

    def _print(self, line: str) -> None:
        print_line(f"[{time.time():.6f}] {line}" if self._timestamps else line)


class JsonPrinter:
    """Print a JSON object for each event. The keys are public."""

    def __init__(self, address: ResolvedAddress) -> None:
        self._address = str(address.hostport)

    def reply_received(self, sequence: int, kind: ReplyKind, seconds: float, detail: str) -> None:
        self._print(kind.value, seq=sequence, seconds=seconds, **({"detail": detail} if detail else {}))

    def probe_failed(self, sequence: int, error: ClientError) -> None:
        self._print("failed", seq=sequence, detail=describe_failure(error))

    def probe_lost(self, sequence: int, reason: str) -> None:
        self._print("lost", seq=sequence, **({"detail": reason} if reason else {}))

    def connection_lost(self, error: ClientError | None) -> None:
        self._print("closed", **({} if error is None else {"detail": describe_failure(error)}))

    def _print(self, event: str, **values: Any) -> None:
        print_line(format_json({"event": event, "time": time.time(), "address": self._address, **values}))


def header(server: HostPort, address: ResolvedAddress, way: str, size: int) -> str:
    """Return the first line: what is probed, and how."""
    ways = {
        "tcp": _("over one TCP connection"),
        "connect": _("a TCP connection for each probe"),
        "udp": _("over UDP"),
    }
    shown = str(server) if address.host == server.host else f"{server} ({address.host})"
    return _("PING {server}: {way}, {size} bytes").format(server=shown, way=ways[way], size=size)


def summary_line(summary: Summary) -> str:
    """Return the counts in one line."""
    return _("probes: {sent}, answers: {received}, loss: {loss:.1f}%, time {seconds:.1f} s").format(
        sent=summary.sent, received=summary.received, loss=summary.loss, seconds=summary.seconds
    )


def summary_lines(server: HostPort, summary: Summary, *, interrupted: bool) -> Iterator[str]:
    """Yield the lines of the summary. If Ctrl-C ended it, an empty line ends that of a terminal's ^C."""
    if interrupted and sys.stdout.isatty():
        yield ""
    yield _("--- {server} echotime ping statistics ---").format(server=server)
    yield summary_line(summary)
    if summary.duplicates or summary.late or summary.wrong or summary.errors:
        yield _("duplicates: {duplicates}, late: {late}, wrong: {wrong}, errors: {errors}").format(
            duplicates=summary.duplicates, late=summary.late, wrong=summary.wrong, errors=summary.errors
        )
    if summary.errors:
        yield _("last error: {reason}").format(reason=_last_error(summary))
    if summary.times:
        yield format_stats(summary.times)


def _last_error(summary: Summary) -> str:
    return _("the server closed the connection") if summary.last_error is None else describe_failure(summary.last_error)


def summary_json(server: HostPort, address: ResolvedAddress, way: str, size: int, summary: Summary) -> dict[str, Any]:
    """Return the summary for --json. The keys are public, so independent of the attribute names."""
    result: dict[str, Any] = {
        "server": str(server),
        "address": str(address.hostport),
        "way": way,
        "size": size,
        "loss_percent": summary.loss,
        "sent": summary.sent,
        "received": summary.received,
        "duplicates": summary.duplicates,
        "late": summary.late,
        "wrong": summary.wrong,
        "errors": summary.errors,
        "seconds": summary.seconds,
    }
    if summary.errors:
        result["last_error"] = _last_error(summary)
    if summary.times:
        stats = compute_stats(summary.times)._asdict()
        result["round_trip_seconds"] = {name: milliseconds / 1000 for name, milliseconds in stats.items()}
    return result
