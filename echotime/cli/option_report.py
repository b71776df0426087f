"""Report on a socket option and on trials of its values, for `echotime sockopts` and `echotime explain`."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from echotime.control.daemon_text import translate_value
from echotime.i18n.language import gettext as _
from echotime.sockopt.apply import warning
from echotime.sockopt.assignment import Assignment
from echotime.sockopt.option import BOTH, TCP_ROLES, Option, Readable, SocketRole
from echotime.sockopt.structures import CString, InAddr, Linger, MulticastGroup, ReadOnlyStruct, Timeval
from echotime.sockopt.trial import TrialResult
from echotime.sockopt.values import Choice, Flag, Integer, RawValue
from echotime.terminal.columns import Heading, fit, pad, wrap
from echotime.wire.escape import display_width

_LABEL_WIDTH = 14
_TRIAL_INDENT = " " * (2 + _LABEL_WIDTH)
_JSON_FORMS: Mapping[type, str] = {
    Flag: "flag",
    Integer: "integer",
    Choice: "choice",
    RawValue: "plain",
    Linger: "linger",
    Timeval: "interval",
    CString: "name",
    InAddr: "address",
    MulticastGroup: "group",
    ReadOnlyStruct: "structure",
}
"""Values of `form` in JSON. They are public, so independent of the class names."""
_JSON_ROLES: Mapping[SocketRole, str] = {
    SocketRole.LISTENER: "listener",
    SocketRole.CONNECTION: "connection",
    SocketRole.UDP: "udp",
}
"""Names of the kinds of sockets in JSON. They are public, so independent of the member names."""


def describe_option(option: Option, values: Mapping[SocketRole, str]) -> Iterator[str]:
    """Yield a heading and a labeled line for each fact. `values` are those on new sockets."""
    heading = _("{name} ({level} {number}): {meaning}")
    yield from map(
        Heading,
        wrap(heading.format(name=option.name, level=option.level, number=option.number, meaning=_(option.meaning))),
    )
    facts = [(label, text) for label, text in _labeled_texts(option, values) if text]
    # a translated label may be wider than the English ones
    width = max(_LABEL_WIDTH, *(display_width(label) + 2 for label, _text in facts))
    for label, text in facts:
        yield from wrap(text, f"  {pad(label, width)}", " " * (width + 2))


def _labeled_texts(option: Option, values: Mapping[SocketRole, str]) -> Iterator[tuple[str, str]]:
    yield _("value"), _(option.value_type.expected) if option.settable else _("read-only")
    if option.settable and option.known:
        yield _("example"), f"--sockopt {option.name}={option.example}"
        yield _("set"), _(option.set_deadline.value)
        yield _("acts on"), _acts_on(option)
        if "tcp" in option.transports:
            yield _("on accept"), _(option.on_accept.value)
        yield _("privilege"), _(option.privilege.required) if option.privilege else _("none")
    if option.readable is not Readable.YES:
        yield _("reading"), _(option.readable.value)
    yield _("reads back"), _(option.read_back_note.reason) if option.read_back_note else ""
    for number, (role, value) in enumerate(values.items()):
        yield "" if number else _("now"), _(role.value) + _(": ") + translate_value(option.name, value)
    yield _("other names"), _(", ").join(_alias_names(option))
    yield _("use"), _(option.use) if option.use else ""
    yield _("caution"), _(option.caveat) if option.caveat else ""
    if option.hazard:
        yield _("warning"), _(option.hazard.warning)


def _acts_on(option: Option) -> str:
    """Return the sockets on which the option acts, then those that only accept it."""
    effective = _role_names([role for role in option.roles if role not in option.ignored_roles])
    if not option.ignored_roles:
        return effective
    text = _("{effective} ({ignored} accepts it, without effect)")
    return text.format(effective=effective, ignored=_role_names(option.ignored_roles))


def _role_names(roles: Sequence[SocketRole]) -> str:
    """Return the names of the sockets; ``TCP`` for a listener and its connections."""
    if set(TCP_ROLES) <= set(roles):
        return _(", ").join(["TCP", *(_(role.value) for role in roles if role not in TCP_ROLES)])
    return _(", ").join(_(role.value) for role in roles)


def _alias_names(option: Option) -> Iterator[str]:
    if python := python_name(option):
        yield f"Python {python}"
    yield from map(" ".join, option.aliases.names())


def python_name(option: Option) -> str:
    """Return the name of the option in this Python's socket module, or an empty string."""
    return f"socket.{option.name}" if hasattr(socket, option.name) else ""


def _value_json(option: Option) -> dict[str, Any]:
    """Return the form of the option's values, and their bounds."""
    value_type = option.value_type
    bounds = {
        name: getattr(value_type, name)
        for name in ("low", "high", "unit", "names", "size")
        if hasattr(value_type, name)
    }
    return {"form": _JSON_FORMS[type(value_type)], **bounds}


def option_json(option: Option, values: Mapping[SocketRole, str]) -> dict[str, Any]:
    """Return the same facts for --json."""
    return {
        "name": option.name,
        "level": option.level,
        "level_number": option.level_number,
        "number": option.number,
        "python": python_name(option) or None,
        "value": _value_json(option),
        "settable": option.settable,
        "acts_on": list(option.transports),
        "accepted_by": [_JSON_ROLES[role] for role in option.roles] if option.settable else [],
        "ignored_by": [_JSON_ROLES[role] for role in option.ignored_roles],
        "set_deadline": option.set_deadline.value if option.settable else None,
        "on_accept": option.on_accept.value if option.settable and "tcp" in option.transports else None,
        "privilege": option.privilege.required if option.privilege else None,
        "readable": option.readable.value,
        "read_back_note": option.read_back_note.reason if option.read_back_note else None,
        "systemd": option.aliases.systemd or None,
        "socat": option.aliases.socat or None,
        "values": {_JSON_ROLES[role]: value for role, value in values.items()},
        "meaning": option.meaning,
        "use": option.use or None,
        "caveat": option.caveat or None,
        "warning": option.hazard.warning if option.hazard else None,
        "example": option.example if option.settable else None,
    }


def has_trial(option: Option) -> bool:
    """Return True if the example of the option can be tried."""
    return option.settable and option.known


def trial_lines(assignment: Assignment, results: Sequence[TrialResult]) -> Iterator[str]:
    """Yield the requested value, and a line for each kind of socket."""
    requested = assignment.option.value_type.show(assignment.value)
    yield from fit(_("{name}, requested {value}").format(name=assignment.option.name, value=requested))
    for each in results:
        parts = [_effect(assignment, each), each.remark]
        effect = _(": ").join(filter(None, parts))
        yield from fit(effect, f"  {pad(_(each.role.value), _LABEL_WIDTH)}", _TRIAL_INDENT)


def _effect(assignment: Assignment, result: TrialResult) -> str:
    if result.refused:
        return _("refused") if result.role in assignment.option.roles else _("not applicable")
    return _("effective {value}").format(value=result.effective) if result.effective else ""


def startup_warnings(assignment: Assignment, results: Sequence[TrialResult]) -> Iterator[str]:
    """Yield the warnings that the daemon would log for the value at every start."""
    for transport in BOTH:
        hazard = warning(assignment, transport)
        if hazard and any(each.role.transport == transport and not each.refused for each in results):
            yield _("warning: {transport}:{assignment}: {hazard}").format(
                transport=transport, assignment=replace(assignment, transport=None), hazard=_(hazard)
            )


def trial_failed(assignment: Assignment, results: Sequence[TrialResult]) -> bool:
    """Return True if the value was refused by all sockets, or by a kind that accepts the option."""
    refused = [each for each in results if each.refused]
    return len(refused) == len(results) or (
        assignment.option.known and any(each.role in assignment.option.roles for each in refused)
    )


def trial_json(assignment: Assignment, results: Sequence[TrialResult]) -> dict[str, Any]:
    """Return the same results for --json."""
    return {
        "name": assignment.option.name,
        "requested": assignment.option.value_type.show(assignment.value),
        "results": {
            _JSON_ROLES[each.role]: {
                "effective": each.effective or None,
                "note": each.remark or None,
                "refused": each.refused,
                "for_this_kind": each.role in assignment.option.roles,
                "differs": each.differs,
                "warning": warning(assignment, each.role.transport) or None,
            }
            for each in results
        },
    }
