"""Implement `echotime explain`: describe a socket option, and demonstrate it on loopback."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from echotime.cli import arguments
from echotime.cli.option_report import describe_option, has_trial, trial_failed, trial_lines
from echotime.cli.output.streams import print_error, print_line, print_lines, print_text
from echotime.client.exit_status import ExitStatus
from echotime.demos.index import DEMONSTRATIONS, TOPICS, Topic
from echotime.demos.script import Demonstration, Entry, Section, Skipped, Step, describe_result
from echotime.i18n.language import gettext as _
from echotime.sockopt import assignment
from echotime.sockopt.nearest import nearest
from echotime.sockopt.option import Option
from echotime.sockopt.trial import current_values, try_option
from echotime.sockopt.values import N_
from echotime.terminal.columns import Heading, fit, pad, terminal_width, wrap
from echotime.wire.escape import display_width

_ACTOR_WIDTH = 11
_CALL_WIDTH = 52
_RESULT_WIDTH = 21
"""Columns kept for results on a narrow terminal, enough for an IPv4 address with a port; a wider one keeps a third."""
_SECTION_INDENT = " " * 2
_STEP_INDENT = " " * 4
_CALL_INDENT = _STEP_INDENT + " " * _ACTOR_WIDTH


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
    if near := nearest(text.lower(), TOPICS):
        raise ValueError(_("unknown option '{name}'; the nearest is {near}").format(name=text, near=near))
    return assignment.lookup(text)


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Run the subcommand, and return its exit status: 1 if a result was not as described."""
    if not args.subjects:
        print_text(_("Demonstrations: {names}").format(names=_(", ").join([*TOPICS, *DEMONSTRATIONS])))
        print_text(_("All other options are explained, too. `echotime sockopts` lists them."))
        return ExitStatus.OK
    statuses = []
    for number, subject in enumerate(args.subjects):
        if number:
            print_line("")
        statuses.append(_explain(subject))
    return max(statuses)


def _explain(subject: Option | Topic) -> int:
    if isinstance(subject, Topic):
        print_lines(line for text in (subject.meaning, subject.use, subject.caveat) for line in wrap(_(text)))
        return _run_demonstration(subject.demonstration)
    print_lines(describe_option(subject, current_values(subject)))
    if subject.name in DEMONSTRATIONS:
        return _run_demonstration(DEMONSTRATIONS[subject.name])
    return _try_example(subject) if has_trial(subject) else ExitStatus.OK


def _try_example(option: Option) -> int:
    requested = assignment.example(option)
    results = try_option(requested)
    print_lines(["", Heading(_("Trial of an example on loopback:")), *trial_lines(requested, results)])
    return ExitStatus.FAILED if trial_failed(requested, results) else ExitStatus.OK


def _run_demonstration(demonstration: Demonstration) -> int:
    print_lines(["", Heading(_("Demonstration on loopback:"))])
    status = ExitStatus.OK
    for entry in _catch_errors(demonstration):
        print_lines(_entry_lines(entry))
        if isinstance(entry, Step) and not entry.as_expected:
            status = ExitStatus.FAILED
    if status is not ExitStatus.OK:
        print_error(_("echotime: not all results are as described: this host behaves differently"))
    return status


def _catch_errors(demonstration: Demonstration) -> Iterator[Entry]:
    try:
        yield from demonstration()
    except OSError as error:
        yield Step("-", N_("the demonstration failed"), str(error), expected=N_("no error"))


def _entry_lines(entry: Entry) -> Iterator[str]:
    if isinstance(entry, Section):
        yield from ("", *map(Heading, fit(_(entry.title), _SECTION_INDENT, _SECTION_INDENT)))
    elif isinstance(entry, Skipped):
        reason = _("skipped: {reason}").format(reason=_(entry.reason))
        yield from ("", *fit(reason, _SECTION_INDENT, _SECTION_INDENT))
    else:
        yield from _call_lines(entry)
        if entry.remark:
            yield from fit(_("({remark})").format(remark=_(entry.remark)), _CALL_INDENT, f"{_CALL_INDENT} ")
        if not entry.as_expected:
            expected = _("expected {result}").format(result=describe_result(entry.expected))
            yield from fit(expected, _CALL_INDENT, _CALL_INDENT)


def _call_lines(step: Step) -> Iterator[str]:
    """Yield the call and its result: beside it, or below if the terminal is too narrow."""
    # a mistake has no actor: its text begins in that column
    call, result = _(step.call), describe_result(step.result)
    start = _STEP_INDENT + (pad(_(step.actor), _ACTOR_WIDTH) + call if step.actor else call)
    width = terminal_width()
    call_width = _CALL_WIDTH
    if width is not None:
        call_width = min(call_width, width - len(_CALL_INDENT) - max(_RESULT_WIDTH, width // 3))
    column = len(_CALL_INDENT) + call_width
    if width is None or (display_width(start) < column and column + display_width(result) <= width):
        yield (pad(start, column) + result).rstrip()
    else:
        yield from wrap(start, _STEP_INDENT, _CALL_INDENT)
        below = " " * column if column + display_width(result) <= width else f"{_CALL_INDENT}  "
        yield from wrap(result, below, below)
