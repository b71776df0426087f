"""`echotime explain`: what a socket option means, when to set it, what goes wrong, and a demonstration on loopback."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator
from typing import Any

from echotime.clients.status import Status
from echotime.command import arguments, option_trial
from echotime.command.columns import padded, wrapped
from echotime.command.option_facts import facts
from echotime.command.report import say
from echotime.command.streams import show
from echotime.demonstrations.index import DEMONSTRATIONS, TOPICS, Topic
from echotime.demonstrations.script import Act, Demonstration, Line, Phase, Unshown
from echotime.locale.language import gettext as _
from echotime.sockopt import assignment
from echotime.sockopt.option import Option
from echotime.sockopt.trial import outcomes, shown_values

_WHO = 11
_CALL = 52


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "explain",
        help=_("explain a socket option, and show on loopback what it does"),
        description=_(
            "Tell what a socket option means, when to set it and what goes wrong, then show it with real sockets on "
            "loopback. server and client carry out the steps of a server and of a client, one at a time."
        ),
        epilog=_("Example: echotime explain SO_OOBINLINE"),
    )
    parser.add_argument(
        "subjects",
        metavar="NAME",
        type=arguments.coerced(_subject),
        nargs="*",
        help=_("an option, server, client or backlog; without it, a list of what can be shown"),
    )
    parser.set_defaults(run=run, usage_error=parser.error)


def _subject(text: str) -> Option | Topic:
    """Raises ValueError with the nearest name."""
    if text.lower() in TOPICS:
        return TOPICS[text.lower()]
    near = difflib.get_close_matches(text.lower(), TOPICS, n=1, cutoff=0.7)
    if near:
        raise ValueError(_("unknown option '{name}'; the nearest is {near}").format(name=text, near=near[0]))
    return assignment.named(text)


async def run(reactor: Any, args: argparse.Namespace) -> int:
    """Carry it out; the exit status is 1 if something was not as described."""
    if not args.subjects:
        return _list()
    statuses = []
    for number, subject in enumerate(args.subjects):
        if number:
            show("")
        statuses.append(_explained(subject))
    return max(statuses)


def _explained(option: Option | Topic) -> int:
    if isinstance(option, Topic):
        show(_topic(option))
        return _played(option.demonstration)
    show("\n".join(facts(option, shown_values(option))))
    if option.name in DEMONSTRATIONS:
        return _played(DEMONSTRATIONS[option.name])
    return _tried(option) if option.settable and option.known else Status.OK


def _list() -> int:
    show(_("With a demonstration: {names}").format(names=", ".join([*TOPICS, *DEMONSTRATIONS])))
    show(_("Every other option is explained too; `echotime sockopts` lists them."))
    return Status.OK


def _topic(topic: Topic) -> str:
    return "\n".join(line for text in (topic.meaning, topic.use, topic.trap) for line in wrapped(text))


def _tried(option: Option) -> int:
    asked = assignment.example(option)
    found = outcomes(asked)
    show("\n" + _("On loopback, now, with an example:"))
    show("\n".join(option_trial.lines(asked, found)))
    return Status.FAILED if option_trial.failed(asked, found) else Status.OK


def _played(demonstration: Demonstration) -> int:
    show("\n" + _("On loopback, now:"))
    status = Status.OK
    for line in _guarded(demonstration):
        show("\n".join(_lines(line)))
        if isinstance(line, Act) and not line.as_expected:
            status = Status.FAILED
    if status is not Status.OK:
        say(_("echotime: not all was as described; this host behaves differently"))
    return status


def _guarded(demonstration: Demonstration) -> Iterator[Line]:
    try:
        yield from demonstration()
    except OSError as error:
        yield Act("-", _("it could not go on"), str(error), expected=_("no error"))


def _lines(line: Line) -> Iterator[str]:
    if isinstance(line, Phase):
        yield f"\n  {line.text}"
    elif isinstance(line, Unshown):
        yield "\n  " + _("not shown: {reason}").format(reason=line.reason)
    else:
        yield f"    {padded(line.who, _WHO)}{padded(line.call, _CALL)}{line.result}".rstrip()
        if line.remark:
            yield f"    {'':<{_WHO}}({line.remark})"
        if not line.as_expected:
            yield f"    {'':<{_WHO}}" + _("expected {result}").format(result=line.expected)
