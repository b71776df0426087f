"""`echotime control`: the operator's desk of a running daemon, at a prompt or with one command."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

from echotime.clients.status import Status
from echotime.command import arguments
from echotime.command.control_connection import ControlConnection, Lost
from echotime.command.control_prompt import Prompt, Screen
from echotime.command.control_verbs import VERBS, Misspoken, Session
from echotime.command.report import say as complain
from echotime.desk.commands import Refused
from echotime.locale.language import gettext as _
from echotime.wire.encoding import encoding

_USUAL = "/run/echotime/control"


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    words = "\n".join(f"  {name} {each.words}".ljust(48) + _(each.help) for name, each in VERBS.items())
    parser = commands.add_parser(
        "control",
        help=_("answer questions and look after a running daemon"),
        description=_(
            "Talk to a daemon that was started with --control. Without COMMAND there is a prompt, where help lists the "
            "commands; with one it is carried out."
        ),
        epilog=_("Example: echotime control answer next ok")
        + "\n\n"
        + _("commands:")
        + "\n"
        + words
        + "\n  watch".ljust(49)
        + _("show what happens; what is typed answers the oldest question"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--socket",
        metavar="PATH",
        default=os.environ.get("ECHOTIME_CONTROL") or _USUAL,
        help=_("the daemon's control socket (default: $ECHOTIME_CONTROL, or {path})").format(path=_USUAL),
    )
    parser.add_argument("--json", action="store_true", help=_("for programs"))
    parser.add_argument(
        "--raw", action="store_true", help=_(r"in words \n \t \xNN are understood, and control characters allowed")
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        type=arguments.coerced(encoding),
        help=_("of words and of what is shown (default: the daemon's)"),
    )
    parser.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER, help=_("what to do"))
    parser.set_defaults(alone=run, usage_error=parser.error)


def run(args: argparse.Namespace) -> int:
    """Carry it out, without a reactor; the exit status."""
    _take_flags(args)
    # at the prompt Ctrl-C gives up a line, and not the program
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # events are shown by a thread, which could not arrange this when nobody reads them any more
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    screen = Screen()
    prompt: Prompt | None = None

    def told(command: Any, event: dict[str, Any]) -> None:
        if prompt is not None:
            prompt.told(command, event)

    try:
        connection = ControlConnection(args.socket, told, lambda: os.kill(os.getpid(), signal.SIGINT))
    except OSError as error:
        complain(_("echotime: {path}: {reason}").format(path=args.socket, reason=error.strerror or error))
        if not Path(args.socket).exists():
            complain(_("echotime: is a daemon running with --control, and --socket its path?"))
        return Status.REFUSED
    try:
        session = Session(connection, as_json=args.json, raw=args.raw, encoding=args.encoding, out=screen.show)
        prompt = Prompt(session, screen)
        return _carried_out(args, prompt)
    except Lost:
        complain(_("echotime: {path}: the daemon is gone, or does not answer").format(path=args.socket))
        return Status.RESET
    except KeyboardInterrupt:
        if connection.gone.is_set():
            complain(_("echotime: {path}: the daemon is gone, or does not answer").format(path=args.socket))
            return Status.RESET
        return 128 + signal.SIGINT
    finally:
        connection.close()


def _take_flags(args: argparse.Namespace) -> None:
    """--json and --raw may follow the command, too; in a word to be sent they are text."""
    is_answer = args.words and "answer".startswith(args.words[0])
    place = args.words[:2] if is_answer else args.words
    for flag in ("json", "raw"):
        if f"--{flag}" in place:
            args.words.remove(f"--{flag}")
            setattr(args, flag, True)


def _carried_out(args: argparse.Namespace, prompt: Prompt) -> int:
    if not args.words:
        return prompt.run()
    try:
        prompt.carry_out(args.words)
    except Misspoken as fault:
        args.usage_error(str(fault))
    except Refused as refused:
        complain(f"echotime: {refused}")
        return Status.FAILED
    return Status.OK
