"""Implement `echotime check`: one line and an exit status for monitoring, by the monitoring-plugins convention.

See https://www.monitoring-plugins.org/doc/guidelines.html: status 0 ok, 1 warning, 2 critical, 3 unknown, and
performance data after a vertical bar.
"""

from __future__ import annotations

import argparse
import signal
from itertools import chain
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from echotime.cli import arguments
from echotime.cli.check_result import CheckResult
from echotime.cli.measure import measure_services
from echotime.cli.output.prometheus import write_metrics
from echotime.cli.output.streams import print_lines
from echotime.cli.output.verdict import describe_failure
from echotime.cli.proxy_arguments import add_proxy
from echotime.cli.thresholds import Range, is_hidden, parse_threshold
from echotime.cli.time import add_epoch, suggest_epoch
from echotime.client.exit_status import ClientError
from echotime.client.load import LoadResult
from echotime.client.lookup import ResolvedAddress
from echotime.client.time import decode_response
from echotime.i18n.language import gettext as _
from echotime.sockopt.option import BOTH
from echotime.wire import parsers
from echotime.wire.exposition import Family
from echotime.wire.hostport import DEFAULT_PORT, HostPort
from echotime.wire.json_line import format_json

_DEFAULT_WARNING = {"offset": Range(0, 86400)}
"""A clock that is off by more seconds is wrong, or counts from another epoch."""


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
    arguments.add_server(parser, optional=True)
    parser.add_argument(
        "-H",
        "--hostname",
        metavar="HOST[:PORT]",
        type=arguments.argparse_type(arguments.parse_server),
        help=_("the server, as other plugins take it"),
    )
    parser.add_argument(
        "-p",
        "--port",
        metavar="PORT",
        type=arguments.argparse_type(arguments.parse_server_port),
        help=_("the port, unless the server is given with one"),
    )
    parser.add_argument("--tcp", action="store_true", help=_("check TCP (default: check TCP and UDP)"))
    parser.add_argument("--udp", action="store_true", help=_("check UDP (default: check TCP and UDP)"))
    threshold = arguments.argparse_type(parse_threshold)
    for flags, state, default in (
        (("-w", "--warning"), _("warning"), _(" (default: offset=24h)")),
        (("-c", "--critical"), _("critical"), ""),
    ):
        parser.add_argument(
            *flags,
            metavar="[NAME=]RANGE",
            type=threshold,
            action="append",
            default=[],
            help=_(
                "{state} threshold, such as 2s, 10:20 or @10:20; NAME is tcp, udp or offset, without it tcp and udp; "
                "repeatable"
            ).format(state=state)
            + default,
        )
    parser.add_argument(
        "-t", "--timeout", **arguments.TIME, default=8, help=_("time limit for the whole check (default: %(default)s)")
    )
    parser.add_argument(
        "-v", "--verbose", action="count", help=_("print more lines: each measurement, its address and thresholds")
    )
    parser.add_argument("--json", action="store_true", help=_("print JSON"))
    parser.add_argument(
        "--no-half-close",
        action="store_true",
        help=_("end the TCP check when the answer is complete, for paths that do not carry a half-close"),
    )
    add_epoch(parser)
    arguments.add_trailer(parser)
    parser.add_argument(
        "--textfile",
        metavar="PATH",
        type=Path,
        help=_("also write the result to a file for node_exporter's textfile collector"),
    )
    add_proxy(parser)
    arguments.add_sockopt(parser)
    parser.set_defaults(
        run=run,
        usage_error=parser.error,
        transports=lambda args: [name for name in BOTH if getattr(args, name) or args.tcp is args.udp],
    )


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status."""
    _choose_server(args)
    warning, critical = _merge_thresholds(args)
    result = CheckResult(warning, critical)

    def end() -> None:
        measuring.cancel()

    def on_sigterm(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(end)

    # a monitoring system ends a plugin that takes too long, and shows the line that it printed
    signal.signal(signal.SIGTERM, on_sigterm)
    measuring = Deferred.fromCoroutine(measure_services(reactor, args, args.transports(args)))
    for service, outcome in (await measuring).items():
        _RECORD[service](args, result, outcome)
    if args.textfile is not None:
        try:
            write_metrics(args.textfile, _metrics(args, result))
        except OSError as error:
            result.leave_unknown(_("{name}: {reason}").format(name=args.textfile, reason=_(str(error.strerror))))
    lines = [format_json(result.as_json(args.server))] if args.json else [result.status_line()]
    if args.verbose and not args.json:
        lines += result.details()
    print_lines(lines)
    return result.state


def _choose_server(args: argparse.Namespace) -> None:
    """Set `server` from HOST[:PORT] or -H, and -p. Both forms are in use among plugins."""
    given = [each for each in (args.server, args.hostname) if each is not None]
    if len(given) != 1:
        args.usage_error(
            _("the host is missing; expected HOST, HOST:PORT or -H HOST")
            if not given
            else _("the server is given twice: as an argument, and with -H")
        )
    (args.server,) = given
    if args.port is not None:
        if args.server.port not in {DEFAULT_PORT, args.port}:
            args.usage_error(
                _("the port is given twice: {port} and {other}").format(port=args.server.port, other=args.port)
            )
        args.server = HostPort(args.server.host, args.port)


def _merge_thresholds(args: argparse.Namespace) -> tuple[dict[str, Range], dict[str, Range]]:
    """Return the thresholds of a warning and of a critical result.

    A usage error if a warning could not occur, or if a threshold is of a service that is not checked.
    """
    for option, given in (("-w", args.warning), ("-c", args.critical)):
        for each in given:
            _check_measured(args, option, each)
    warning, critical = (
        dict(chain.from_iterable(each.items() for each in given)) for given in (args.warning, args.critical)
    )
    for name in warning.keys() & critical.keys():
        if is_hidden(warning[name], critical[name]):
            args.usage_error(
                _("-w {name}={warning} is beyond -c {name}={critical}: every warning would be critical").format(
                    name=name, warning=warning[name], critical=critical[name]
                )
            )
    return _DEFAULT_WARNING | warning, critical


def _check_measured(args: argparse.Namespace, option: str, threshold: dict[str, Range]) -> None:
    """Refuse a threshold that applies to nothing, because --tcp or --udp is given alone."""
    transports = args.transports(args)
    measured = {*transports, "offset"} if "udp" in transports else {*transports}
    if measured.isdisjoint(threshold):
        ((name, limits),) = threshold.items()
        args.usage_error(
            _("{option} {name}={limits}: not measured with --{transport}").format(
                option=option, name=name, limits=limits, transport=transports[0]
            )
        )


def _record_tcp(args: argparse.Namespace, result: CheckResult, outcome: Any) -> None:
    if isinstance(outcome, LoadResult) and outcome.exact:
        result.up["tcp"] = True
        result.addresses["tcp"] = str(outcome.address.hostport) if outcome.address else ""
        (elapsed,) = outcome.times
        result.half_close_tested = not args.no_half_close
        text = _("TCP echo exact in {ms:.3f} ms").format(ms=elapsed * 1000)
        if args.no_half_close:
            text += _(", half-close not tested")
        result.record("tcp", elapsed, text + _from_address(args, outcome.address))
        return
    failed = next(iter(outcome.failures.values())).first if isinstance(outcome, LoadResult) else outcome
    _record_failure(result, "tcp", _("TCP echo: {reason}"), failed)


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
    result.addresses["udp"] = str(address.hostport)
    text = _("UDP time in {ms:.3f} ms").format(ms=response.round_trip * 1000)
    result.record("udp", response.round_trip, text + _from_address(args, address))
    # an offset within the uncertainty of whole seconds counts as none
    offset = reading.offset if abs(reading.offset) > reading.uncertainty else 0.0
    text = _("offset {offset:+.1f} s").format(offset=offset)
    result.record("offset", offset, text, suggest_epoch(response, epoch))


def _record_failure(result: CheckResult, service: str, sentence: str, failed: Exception) -> None:
    """Record a failed service, or one whose check was ended by a signal."""
    if isinstance(failed, ClientError):
        result.fail(service, sentence.format(reason=describe_failure(failed)))
    else:
        result.leave_unknown(sentence.format(reason=_("ended by SIGTERM before there was a result")))


def _from_address(args: argparse.Namespace, address: ResolvedAddress | None) -> str:
    """Name the address that answered, unless it was given."""
    if address is None or address.host == args.server.host:
        return ""
    return _(" from {address}").format(address=address.host)


_RECORD = {"tcp": _record_tcp, "udp": _record_udp}
_METRIC_HELP = {
    "tcp": "Time of an echo session from connect to its end.",
    "udp": "Round trip of a time request.",
    "offset": "Offset of the server's clock, 0 within the uncertainty of whole seconds.",
}


def _metrics(args: argparse.Namespace, result: CheckResult) -> list[Family]:
    server = str(args.server)
    up = Family("echotime_check_up", "1 if the service is up and exact, else 0.")
    for name, is_up in result.up.items():
        up.add(int(is_up), server=server, service=name)
    return [
        up,
        *(
            Family(f"echotime_check_{name}_seconds", _METRIC_HELP[name]).add(value, server=server)
            for name, value in result.measurements.items()
        ),
    ]
