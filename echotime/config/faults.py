"""The faults of a command line and a file: collected, bounded in number and length, and raised together."""

from __future__ import annotations

import getopt
import re
from collections.abc import Iterable

from twisted.python import usage

from echotime.sockopt.nearest import nearest
from echotime.wire.escape import sanitize

_PORTS = "ports are given to --tcp and --udp"
_ADDRESS = f"addresses and {_PORTS}, as in --tcp 127.0.0.1:12345"
_REPLACEMENTS = {
    "transport": "there is one transport now; to run it on Twisted's own reactor: twistd -r epoll -n echotime",
    **dict.fromkeys(("port", "host", "address", "bind", "listen", "interface"), _ADDRESS),
}
"""Options of earlier versions and of other servers, with what replaces them."""
_LETTERS = {**dict.fromkeys("pblu", _PORTS), "f": "the file of options is given to --config"}
"""Letters that mean something else at twistd than at other servers, with what their users look for."""
_MAX_FAULTS = 100
"""Listed faults. The others are counted."""
_MAX_FAULT_LENGTH = 1000
"""Characters of a fault. The middle of a longer fault is left out."""


class FaultList:
    """Collect faults, to raise them as one UsageError of a line each."""

    def __init__(self) -> None:
        self._listed: list[str] = []
        self._unlisted_count = 0

    def add(self, text: str) -> None:
        """Add a fault, of one line."""
        if len(self._listed) == _MAX_FAULTS:
            self._unlisted_count += 1
            return
        if len(text) > _MAX_FAULT_LENGTH:
            text = f"{text[: _MAX_FAULT_LENGTH // 2]} ... {text[-_MAX_FAULT_LENGTH // 2 :]}"
        self._listed.append(sanitize(text))

    def add_unknown_option(self, origin: str, name: str, known: Iterable[str]) -> None:
        """Add the fault that a name is unknown, with the nearest known name."""
        # finding the nearest name is slow, so faults that are not listed skip the search
        listed = len(self._listed) < _MAX_FAULTS
        self.add(f"{origin}: unknown option {name}{_nearest_option(name, known) if listed else ''}")

    def add_argument(self, text: str) -> None:
        """Add the fault that a word is neither an option nor its value, with the option for an address."""
        hint = f"; {_ADDRESS}" if text.isdigit() or ":" in text else ""
        self.add(f"unexpected argument '{text}'{hint}")

    def raise_if_any(self) -> None:
        """Raise UsageError if a fault was added."""
        if self._listed:
            unlisted = [f"faults not listed: {self._unlisted_count}"] if self._unlisted_count else []
            raise usage.UsageError("\n".join([*self._listed, *unlisted]))


def _nearest_option(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return the replacement of an unknown option, to follow the message that the option is unknown."""
    if name in _REPLACEMENTS:
        return f"; {_REPLACEMENTS[name]}"
    near = nearest(name, known)
    return f"; the nearest is {prefix}{near}" if near else ""


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
    if isinstance(cause, getopt.GetoptError) and "not recognized" in cause.msg:
        is_letter = len(cause.opt) == 1
        option = f"-{cause.opt}" if is_letter else f"--{cause.opt}"
        if parent is not None and (value := _twistd_value(cause.opt, parent)) is not None:
            meaning = f"--{parent.synonyms[cause.opt]}" if is_letter else "an option"
            hint = _LETTERS.get(cause.opt)
            end = f": twistd {option}{value} echotime ..." if hint is None else f"; {hint}"
            return f"{option} is {meaning} of twistd{end}"
        return f"unknown option {option}{_nearest_option(cause.opt, names, '--')}"
    if isinstance(cause, getopt.GetoptError) and "not a unique prefix" in cause.msg:
        possible = ", ".join(f"--{name}" for name in sorted(names) if name.startswith(cause.opt))
        return f"option --{cause.opt} is ambiguous; expected one of {possible}"
    return str(error)
