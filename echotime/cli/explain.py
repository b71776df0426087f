"""Implement `echotime explain`: describe a socket option, and demonstrate it on loopback."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator
from typing import Any

from echotime.cli import arguments, trial_report
from echotime.cli.describe_option import describe_option
from echotime.cli.output.columns import pad, wrap
from echotime.cli.output.stderr import print_error
from echotime.cli.output.stdio import print_line
from echotime.client.exit_status import ExitStatus
from echotime.demos.index import DEMONSTRATIONS, TOPICS, Topic
from echotime.demos.script import Demonstration, Entry, Section, Skipped, Step
from echotime.i18n.language import gettext as _
from echotime.sockopt import assignment
from echotime.sockopt.option import Option
from echotime.sockopt.trial import current_values, try_option

_ACTOR_WIDTH = 11
_CALL_WIDTH = 52


def add_parser(commands: Any) -> None:
    """Add the parser of this subcommand."""
    parser = commands.add_parser(
        "explain",
        help=_("explain a socket option and demonstrate it on loopback"),
        description=_(
            "Explain what a socket option means, when to set it and what can go wrong. Then demonstrate it with real "
            "sockets on loopback. The names server and client demonstrate the steps of a server and of a client."
        ),
        epilog=_("Example: echotime explain SO_OOBINLINE"),
    )
    parser.add_argument(
        "subjects",
        metavar="NAME",
        type=arguments.argparse_type(_parse_subject),
        nargs="*",
        help=_("a socket option, server, client or backlog (default: list the demonstrations)"),
    )
    parser.set_defaults(run=run, usage_error=parser.error)


def _parse_subject(text: str) -> Option | Topic:
    """Return the option or topic of this name. Raises ValueError with the nearest name."""
    if text.lower() in TOPICS:
        return TOPICS[text.lower()]
    near = difflib.get_close_matches(text.lower(), TOPICS, n=1, cutoff=0.7)
    if near:
        raise ValueError(_("unknown option '{name}'; the nearest is {near}").format(name=text, near=near[0]))
    return assignment.lookup(text)


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status: 1 if a result was not as described."""
    if not args.subjects:
        return _list_subjects()
    statuses = []
    for number, subject in enumerate(args.subjects):
        if number:
            print_line("")
        statuses.append(_explain(subject))
    return max(statuses)


def _explain(option: Option | Topic) -> int:
    if isinstance(option, Topic):
        print_line(_format_topic(option))
        return _run_demonstration(option.demonstration)
    print_line("\n".join(describe_option(option, current_values(option))))
    if option.name in DEMONSTRATIONS:
        return _run_demonstration(DEMONSTRATIONS[option.name])
    return _try_example(option) if option.settable and option.known else ExitStatus.OK


def _list_subjects() -> int:
    print_line(_("Demonstrations: {names}").format(names=", ".join([*TOPICS, *DEMONSTRATIONS])))
    print_line(_("All other options are explained, too. `echotime sockopts` lists them."))
    return ExitStatus.OK


def _format_topic(topic: Topic) -> str:
    return "\n".join(line for text in (topic.meaning, topic.use, topic.caveat) for line in wrap(text))


def _try_example(option: Option) -> int:
    requested = assignment.example(option)
    results = try_option(requested)
    print_line("\n" + _("Trial of an example on loopback:"))
    print_line("\n".join(trial_report.trial_lines(requested, results)))
    return ExitStatus.FAILED if trial_report.failed(requested, results) else ExitStatus.OK


def _run_demonstration(demonstration: Demonstration) -> int:
    print_line("\n" + _("Demonstration on loopback:"))
    status = ExitStatus.OK
    for line in _catch_errors(demonstration):
        print_line("\n".join(_entry_lines(line)))
        if isinstance(line, Step) and not line.as_expected:
            status = ExitStatus.FAILED
    if status is not ExitStatus.OK:
        print_error(_("echotime: not all results are as described: this host behaves differently"))
    return status


def _catch_errors(demonstration: Demonstration) -> Iterator[Entry]:
    try:
        yield from demonstration()
    except OSError as error:
        yield Step("-", _("the demonstration failed"), str(error), expected=_("no error"))


def _entry_lines(line: Entry) -> Iterator[str]:
    if isinstance(line, Section):
        yield f"\n  {line.title}"
    elif isinstance(line, Skipped):
        yield "\n  " + _("skipped: {reason}").format(reason=line.reason)
    else:
        yield f"    {pad(line.actor, _ACTOR_WIDTH)}{pad(line.call, _CALL_WIDTH)}{line.result}".rstrip()
        if line.remark:
            yield f"    {'':<{_ACTOR_WIDTH}}({line.remark})"
        if not line.as_expected:
            yield f"    {'':<{_ACTOR_WIDTH}}" + _("expected {result}").format(result=line.expected)
