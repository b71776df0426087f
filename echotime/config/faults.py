"""The faults of a command line and a file: collected, bounded in number and length, and raised together."""

from __future__ import annotations

import getopt
import re
from collections.abc import Iterable
from operator import itemgetter

from twisted.python import usage

from echotime.config.file import FileText
from echotime.errors import twistd_name
from echotime.sockopt.nearest import nearest
from echotime.wire.escape import sanitize

_PORTS = "ports are given to --tcp and --udp"
_ADDRESS = f"addresses and {_PORTS}, as in --tcp 127.0.0.1:12345"
REPLACEMENTS = {
    "transport": "there is one transport now; to run it on Twisted's own reactor: twistd -r epoll -n echotime",
    **dict.fromkeys(("port", "host", "address", "bind", "listen", "interface"), _ADDRESS),
}
"""Options of earlier versions and of other servers, with what replaces them."""
_LETTERS = {**dict.fromkeys("pblu", _PORTS), "f": "the file of options is given to --config"}
"""Letters that mean something else at twistd than at other servers, with what their users look for."""
_MAX_FAULTS = 100
"""Listed faults. The others are counted."""
_MIN_PREFIX = 3
"""Characters of a shortened name. The command line accepts such a name, and the file does not."""
_MAX_FAULT_LENGTH = 1000
"""Characters of a fault. The middle of a longer fault is left out."""


class FaultList:
    """Collect faults, to raise them as one UsageError of a line each."""

    def __init__(self) -> None:
        self._listed: list[tuple[int, str]] = []
        self._unlisted_count = 0

    def add(self, text: str, line: int = 0) -> None:
        """Add a fault, of one line. `line` is where the file has it, 0 for the command line."""
        if len(self._listed) == _MAX_FAULTS:
            self._unlisted_count += 1
            return
        if len(text) > _MAX_FAULT_LENGTH:
            text = f"{text[: _MAX_FAULT_LENGTH // 2]} ... {text[-_MAX_FAULT_LENGTH // 2 :]}"
        self._listed.append((line, sanitize(text)))

    def add_unknown_option(
        self, origin: str, name: FileText, known: Iterable[str], twistd: usage.Options | None
    ) -> None:
        """Add the fault that a name of the file is unknown, with the option of twistd or the nearest known name."""
        # finding the nearest name is slow, so faults that are not listed skip the search
        listed = len(self._listed) < _MAX_FAULTS
        hint = (_twistd_hint(name, name, twistd) or _unknown_option(name, name, known)) if listed else ""
        self.add(f"{origin}: {hint}", name.line)

    def add_argument(self, text: str) -> None:
        """Add the fault that a word is neither an option nor its value, with the option for an address."""
        hint = f"; {_ADDRESS}" if text.isdigit() or ":" in text else ""
        self.add(f"unexpected argument '{text}'{hint}")

    def raise_if_any(self) -> None:
        """Raise UsageError if a fault was added. Faults of the command line come first, then those of the file."""
        if self._listed:
            listed = [text for _line, text in sorted(self._listed, key=itemgetter(0))]
            unlisted = [f"faults not listed: {self._unlisted_count}"] if self._unlisted_count else []
            raise usage.UsageError("\n".join([*listed, *unlisted]))


def _unknown_option(given: str, name: str, known: Iterable[str]) -> str:
    """Return the message that an option is unknown, with what replaces it. `given` is the name as it was given."""
    unknown, dashes = f"unknown option {given}", given.removesuffix(name)
    if name in REPLACEMENTS:
        return f"{unknown}; {REPLACEMENTS[name]}"
    names = list(known)
    found = nearest(name, names)
    near = [found] if found else [each for each in names if len(name) >= _MIN_PREFIX and each.startswith(name)]
    return f"{unknown}; the nearest is {' or '.join(dashes + each for each in near)}" if near else unknown


def _twistd_hint(given: str, name: str, twistd: usage.Options | None) -> str:
    """Return the message that an option is one of twistd, an empty text if it is not, or if twistd does not run."""
    if twistd is None or (value := _twistd_value(name, twistd)) is None:
        return ""
    option = f"-{name}" if len(name) == 1 else f"--{name}"
    is_letter = given == f"-{name}"
    meaning = f"--{twistd.synonyms[name]}" if is_letter else "an option"
    hint = _LETTERS.get(name) if is_letter else None
    end = f"; {hint}" if hint else f": {twistd_name()} {option}{value} echotime ..."
    return f"{given} is {meaning} of twistd{end}"


def _twistd_value(option: str, twistd: usage.Options) -> str | None:
    """Return the text that stands for the value of an option of twistd, None if twistd has no such option."""
    names = {*twistd.longOpt, *(each.replace(":", "=") for each in re.findall("[^:]:?", twistd.shortOpt))}
    if option in names:
        return ""
    return " VALUE" if f"{option}=" in names else None


def describe_usage_error(error: usage.UsageError, names: list[str], parent: usage.Options | None) -> str:
    """Return the message of a command line that getopt refuses.

    `names` are the known options, and `parent` are the options of twistd.
    """
    cause = error.__context__
    name = cause.opt if isinstance(cause, getopt.GetoptError) else str(error).removeprefix("No such option '")[:-1]
    if name in REPLACEMENTS:
        return _twistd_hint(f"--{name}", name, parent) or _unknown_option(f"--{name}", name, names)
    if isinstance(cause, getopt.GetoptError) and "not recognized" in cause.msg:
        option = f"-{cause.opt}" if len(cause.opt) == 1 else f"--{cause.opt}"
        return _twistd_hint(option, cause.opt, parent) or _unknown_option(option, cause.opt, names)
    if isinstance(cause, getopt.GetoptError) and "not a unique prefix" in cause.msg:
        possible = ", ".join(f"--{name}" for name in sorted(names) if name.startswith(cause.opt))
        return f"option --{cause.opt} is ambiguous; expected one of {possible}"
    return str(error)
