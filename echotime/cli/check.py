"""Implement `echotime check`: one line and an exit status for monitoring, by the monitoring-plugins convention.

See https://www.monitoring-plugins.org/doc/guidelines.html: status 0 ok, 1 warning, 2 critical, 3 unknown, and
performance data after a vertical bar.
"""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from echotime.cli import arguments
from echotime.cli.measure import measure_services
from echotime.cli.output.last_handler import exit_with_error
from echotime.cli.output.prometheus import Metric, write_metrics
from echotime.cli.output.streams import describe_error
from echotime.cli.output.verdict import describe_failure
from echotime.cli.time import add_epoch, suggest_epoch
from echotime.client.exit_status import ClientError
from echotime.client.load import LoadResult
from echotime.client.lookup import ResolvedAddress
from echotime.client.time import decode_response
from echotime.i18n.language import gettext as _
from echotime.sockopt.option import BOTH
from echotime.wire import parsers
from echotime.wire.escape import sanitize
from echotime.wire.verify import VerifyResult


class CheckState(IntEnum):
    """Define the exit statuses. Up to CRITICAL, a higher one is worse."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_DEFAULT_WARNING = {"offset": 86400.0}
"""Seconds. A clock that is off by more is wrong, or counts from another epoch."""
THRESHOLD_NAMES = ("tcp", "udp", "offset")
"""Names of thresholds: the seconds of an echo session and of a time request, and the clock's offset."""


@dataclass
class CheckResult:
    """Collect the measurements, a sentence for each, and the worst state."""

    warning: Mapping[str, float]
    critical: Mapping[str, float]
    state: CheckState = CheckState.OK
    sentences: list[str] = field(default_factory=list)
    measurements: dict[str, float] = field(default_factory=dict)
    up: dict[str, bool] = field(default_factory=dict)

    def fail(self, service: str, sentence: str) -> None:
        """Record that a service failed, which is critical."""
        self.state = CheckState.CRITICAL
        self.up[service] = False
        self.sentences.append(sentence)

    def leave_unknown(self, sentence: str) -> None:
        """Record that something could not be determined, which is unknown unless a service is known to be down."""
        if self.state is not CheckState.CRITICAL:
            self.state = CheckState.UNKNOWN
        self.sentences.append(sentence)

    def record(self, name: str, seconds: float, sentence: str, advice: str = "") -> None:
        """Record a measurement, and compare it with its thresholds. The advice ends the sentence."""
        self.measurements[name] = seconds
        exceeded = ""
        for state, limits in ((CheckState.WARNING, self.warning), (CheckState.CRITICAL, self.critical)):
            if abs(seconds) > limits.get(name, float("inf")):
                self.state = max(self.state, state)
                exceeded = _(", beyond {limit} s").format(limit=_format_number(limits[name]))
        self.sentences.append(sentence + exceeded + advice)

    def status_line(self) -> str:
        """Return the line with the state, the sentences and the performance data."""
        performance_data = " ".join(
            f"{name}={value:.6f}s;{_format_limit(self.warning, name)};{_format_limit(self.critical, name)}"
            for name, value in self.measurements.items()
        )
        text = f"ECHOTIME {self.state.name} - " + _("; ").join(self.sentences)
        return f"{text} | {performance_data}" if performance_data else text


def _format_limit(limits: Mapping[str, float], name: str) -> str:
    return _format_number(limits[name]) if name in limits else ""


def _format_number(number: float) -> str:
    """Format a number without an exponent, which performance data must not have."""
    return f"{number:f}".rstrip("0").rstrip(".")


def _parse_threshold(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    if name not in THRESHOLD_NAMES or not equals:
        raise ValueError(
            _("invalid threshold {text!r}; expected NAME=TIME, where NAME is one of {names}").format(
                text=text, names=", ".join(THRESHOLD_NAMES)
            )
        )
    return name, parsers.positive_seconds(value)


def add_parser(commands: Any) -> None:
    """Add the parser of this subcommand."""
    parser = commands.add_parser(
        "check",
        help=_("check both services, for monitoring"),
        description=_(
            "Check that the TCP echo is exact, also after a half-close, and that UDP returns the time. Print one line "
            "with performance data. The exit status is 0 for ok, 1 for warning, 2 for critical, and 3 for unknown."
        ),
        epilog=_("Example: echotime check -w offset=2 -c offset=10 -c tcp=0.5 127.0.0.1:12345"),
    )
    arguments.add_server(parser)
    parser.add_argument("--tcp", action="store_true", help=_("check TCP (default: check TCP and UDP)"))
    parser.add_argument("--udp", action="store_true", help=_("check UDP (default: check TCP and UDP)"))
    threshold = arguments.argparse_type(_parse_threshold)
    for flags, state, default in (
        (("-w", "--warning"), _("warning"), _(" (default: offset=24h)")),
        (("-c", "--critical"), _("critical"), ""),
    ):
        parser.add_argument(
            *flags,
            metavar="NAME=TIME",
            type=threshold,
            action="append",
            default=[],
            help=_("{state} threshold; NAME is tcp, udp or offset; repeatable").format(state=state) + default,
        )
    parser.add_argument(
        "--timeout", **arguments.TIME, default=8, help=_("time limit for the whole check (default: %(default)s)")
    )
    add_epoch(parser)
    arguments.add_trailer(parser)
    parser.add_argument(
        "--textfile",
        metavar="PATH",
        type=Path,
        help=_("also write the result to a file for node_exporter's textfile collector"),
    )
    arguments.add_sockopt(parser)
    parser.set_defaults(
        run=run,
        usage_error=parser.error,
        transports=lambda args: [name for name in BOTH if getattr(args, name) or args.tcp is args.udp],
    )


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""

    def end() -> None:
        measuring.cancel()

    def on_sigterm(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(end)

    # a monitoring system ends a plugin that takes too long, and shows the line that it printed
    signal.signal(signal.SIGTERM, on_sigterm)
    measuring = Deferred.fromCoroutine(measure_services(reactor, args, args.transports(args)))
    result = CheckResult(_DEFAULT_WARNING | dict(args.warning), dict(args.critical))
    for service, outcome in (await measuring).items():
        _RECORD[service](args, result, outcome)
    if args.textfile is not None:
        try:
            write_metrics(args.textfile, _metrics(args, result))
        except OSError as error:
            result.leave_unknown(f"{args.textfile}: {_(str(error.strerror))}")
    try:
        print(sanitize(result.status_line()), flush=True)
    except OSError as error:
        exit_with_error(error)
    return result.state


def _record_tcp(args: argparse.Namespace, result: CheckResult, outcome: Any) -> None:
    if isinstance(outcome, LoadResult) and outcome.exact:
        result.up["tcp"] = True
        (elapsed,) = outcome.times
        text = _("TCP echo exact in {ms:.3f} ms").format(ms=elapsed * 1000)
        result.record("tcp", elapsed, text + _from_address(args, outcome.address))
        return
    failed = next(iter(outcome.failures.values())).first if isinstance(outcome, LoadResult) else outcome
    _record_failure(result, "tcp", _("TCP echo: {reason}"), failed, describe_failure)


def _record_udp(args: argparse.Namespace, result: CheckResult, outcome: Any) -> None:
    if isinstance(outcome, Exception):
        _record_failure(result, "udp", _("UDP time: {reason}"), outcome)
        return
    address, response = outcome
    epoch = parsers.EPOCHS[args.epoch]
    try:
        reading = decode_response(response, epoch)
    except ValueError:
        result.fail("udp", _("UDP time: bad response, {size} bytes").format(size=len(response.datagram)))
        return
    result.up["udp"] = True
    text = _("UDP time in {ms:.3f} ms").format(ms=response.round_trip * 1000)
    result.record("udp", response.round_trip, text + _from_address(args, address))
    # an offset within the uncertainty of whole seconds counts as none
    offset = reading.offset if abs(reading.offset) > reading.uncertainty else 0.0
    text = _("offset {offset:+.1f} s").format(offset=offset)
    result.record("offset", offset, text, suggest_epoch(response, epoch))


def _record_failure(
    result: CheckResult,
    service: str,
    sentence: str,
    failed: Exception | VerifyResult,
    describe: Callable[[Any], str] = describe_error,
) -> None:
    """Record a failed service, or one whose check was ended by a signal."""
    if isinstance(failed, ClientError | VerifyResult):
        result.fail(service, sentence.format(reason=describe(failed)))
    else:
        result.leave_unknown(sentence.format(reason=_("ended by SIGTERM before there was a result")))


def _from_address(args: argparse.Namespace, address: ResolvedAddress | None) -> str:
    """Name the address that answered, unless it was given."""
    if address is None or address.host == args.server.host:
        return ""
    return _(" from {address}").format(address=address.host)


_RECORD = {"tcp": _record_tcp, "udp": _record_udp}
_METRIC_HELP = {
    "tcp": "Time of an echo session from connect to the end of file.",
    "udp": "Round trip of a time request.",
    "offset": "Offset of the server's clock, 0 within the uncertainty of whole seconds.",
}


def _metrics(args: argparse.Namespace, result: CheckResult) -> list[Metric]:
    server = str(args.server)
    up_help = "1 if the service is up and exact, else 0."
    return [
        *(Metric("echotime_check_up", up_help, up, server=server, service=name) for name, up in result.up.items()),
        *(
            Metric(f"echotime_check_{name}_seconds", _METRIC_HELP[name], value, server=server)
            for name, value in result.measurements.items()
        ),
    ]
