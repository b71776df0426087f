"""Report unknown commands, options and arguments before argparse does, with what was probably meant.

argparse takes the value of an unknown option for the server, and blames the value.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Sequence

from echotime.i18n.language import gettext as _
from echotime.sockopt.nearest import nearest
from echotime.sockopt.values import N_
from echotime.wire.hostport import format_hostport

_SERVER_HINTS = {
    **dict.fromkeys(("-p", "--port"), N_("to give a port, write HOST:PORT")),
    **dict.fromkeys(("--host", "--address", "--server"), N_("the server is given as HOST:PORT")),
}
"""Options of other tools, in place of which ours take the argument HOST:PORT."""
_UDP_HINT = N_("for UDP, see echotime time")
_HINTS = {
    "send": {
        "-N": N_("send half-closes by itself"),
        "-u": _UDP_HINT,
        "--udp": _UDP_HINT,
        "-w": N_("the time limit is --timeout TIME"),
        "-z": N_("to test a server, see echotime check"),
    },
    "ping": {"-t": N_("the TTL is --sockopt IP_TTL=N")},
}
"""Options of nc(1) and ping(8), by the command that is used in their place."""
_MAX_LETTERS = 2
"""Letters of combined options, as in ``nc -vz``. A longer word is a message, or an option without its second hyphen."""


def check_command(whole: argparse.ArgumentParser, name: str, known: Collection[str]) -> None:
    """Report an unknown command as a usage error."""
    if name in known:
        return
    if near := nearest(name, known):
        whole.error(_("unknown command '{name}'; the nearest is {near}").format(name=name, near=near))
    names = _(", ").join(known)
    whole.error(_("unknown command '{name}'; expected one of {names}").format(name=name, names=names))


def check_options(command: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Report the first unknown option among the arguments of a command as a usage error."""
    for name in _unknown_options(command, argv):
        hint = _hint(command, name)
        if hint:
            command.error(_("unknown option '{name}'; {hint}").format(name=name, hint=hint))
        command.error(_("unknown option '{name}'").format(name=name))


def _known_options(command: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {name: each for each in command._actions for name in each.option_strings}


def _unknown_options(command: argparse.ArgumentParser, argv: Sequence[str]) -> Iterator[str]:
    known = _known_options(command)
    takes_rest = any(each.nargs == argparse.REMAINDER for each in command._actions)
    words = iter(argv)
    for word in words:
        # argparse takes a word with a space for an argument, unless its first letter is an option
        is_option = word.startswith("-") and word != "-" and (" " not in word or word[:2] in known)
        if word == "--" or (takes_rest and not is_option):
            return
        if not is_option:
            continue
        used = list(_used_options(word, known))
        if None in used:
            yield word.partition("=")[0]
        elif used and used[-1] is not None:
            next(words, None)  # the value


def _used_options(word: str, known: dict[str, argparse.Action]) -> Iterator[argparse.Action | None]:
    """Yield None if a word is or contains an unknown option, or its last option if its value is the next word."""
    if word.startswith("--"):
        name, equals, _value = word.partition("=")
        found = known.get(name) or next((each for full, each in known.items() if full.startswith(name)), None)
        if found is None or (found.nargs != 0 and not equals):
            yield found
        return
    for position, letter in enumerate(word[1:], 2):
        found = known.get(f"-{letter}")
        if found is None:
            yield None
        elif found.nargs != 0:
            if position == len(word):
                yield found
            return


def _hint(command: argparse.ArgumentParser, name: str) -> str:
    """Return what to write in place of an unknown option, or nothing if that is not known."""
    known = _known_options(command)
    arguments = {each.dest for each in command._actions}
    hints = _HINTS.get(command.prog.split()[-1], {}) | (_SERVER_HINTS if "server" in arguments else {})
    names = [name] if name.startswith("--") or len(name) > 1 + _MAX_LETTERS else [f"-{each}" for each in name[1:]]
    for each in names:
        if each in hints and each not in known:
            return _(hints[each])
    if near := _nearest(name, known):
        return _("the nearest is {near}").format(near=near)
    return _("to send it as the message, write -- before it") if "message" in arguments else ""


def _nearest(name: str, known: dict[str, argparse.Action]) -> str | None:
    """Return the long option that was probably meant by a misspelled one, by its first letter or with one hyphen."""
    if name.startswith("--"):
        return nearest(name, known)
    is_letter = len(name) == len("-x")
    found = [
        each
        for each, action in known.items()
        if each.startswith(f"-{name}")
        # an option that has a letter of its own is not meant by another letter
        and not (is_letter and ("-" in each[2:] or len(action.option_strings) > 1))
    ]
    return found[0] if len(found) == 1 else None


def describe_unexpected(args: argparse.Namespace, text: str) -> str:
    """Return the message for an argument that the command does not take. A port is given with the server."""
    message = getattr(args, "message", None)
    port = next((each for each in (message, text) if each is not None and each.isdigit()), None)
    if getattr(args, "server", None) is not None and port is not None:
        form = format_hostport(args.server.host, int(port))
        return _("unexpected argument '{text}'; to give a port, write {form}").format(text=text, form=form)
    return _("unexpected argument '{text}'").format(text=text)
