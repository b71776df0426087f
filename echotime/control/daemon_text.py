"""Translate the short texts in what a daemon sends. It sends English, whatever the language of its operators is."""

from __future__ import annotations

import errno
import os
import re

from echotime.i18n.language import gettext as _
from echotime.sockopt import assignment
from echotime.sockopt.catalogue.index import BY_NAME
from echotime.sockopt.option import SetDeadline
from echotime.sockopt.values import N_, RawValue

_LABELED = "{name}: {reason}"
_SOCKOPT_ERRORS = (
    *("unknown option '{name}'; the nearest is {near}", "unknown option '{name}'; expected {form}"),
    *("invalid option number {level}:{number}; expected {form}", "{name} can only be given by number: {number}"),
    "invalid option number {level}:{number}; level and number must be 0 to {most}",
    *("{name} is read-only", "{name} has no effect on a {transport} socket; it acts on {others}"),
    *("'{text}' is not a switch; expected {expected}", "'{text}' is not understood; expected {expected}"),
    *("'{text}' is out of range; expected {expected}", "'{text}' is too long, or not a name; expected {expected}"),
    *("'{text}' is not an IPv4 address; expected {expected}", "'{text}' is not a multicast group; expected {expected}"),
    *("expected {form}", "{range}, or a name: {names}", "one of {names}", "{low} to {high}"),
    "{low} to {high} bytes, as in 65536 or 64K",
    "{low} to {high} seconds, as in 10s or 2m",
    "{low} to {high} milliseconds, as in 500ms or 10s",
    "{low} to {high} microseconds, as in 20000 or 20ms",
)
"""Messages of sockopt/ with fields."""
TEXTS = (
    # why a connection ended
    *(N_("client"), N_("server"), N_("operator"), N_("client's reset"), N_("server's reset"), N_("operator's reset")),
    *(N_("idle timeout"), N_("half-closed timeout"), N_("session timeout"), N_("eviction")),
    *(N_("reset at the {reason}"), N_("error: {reason}"), N_("behavior {name}")),
    # how a question ended
    *(N_("answered by {name}"), N_("deadline expired"), N_("connection ended"), N_("the last operator left")),
    *(N_("no operator is present"), N_("the daemon stopped"), N_("no question is pending")),
    # why a command or a client is refused
    *(N_("question {number}: {reason}"), N_("there is no such question"), N_("no connection {number}")),
    N_("unknown target '{target}'; expected tcp, udp or a connection number"),
    N_("{name} must be set before bind: start with --sockopt {option}=..."),
    N_("{name} must be set before the connection; set it on tcp for later connections"),
    *(N_("invalid arguments"), N_("too many control connections: {connections} are open, {limit} are allowed")),
    N_("HTTP is not served; expected a daemon with --http"),
    N_("permission denied: neither root, nor the daemon's user, nor a member of --control-group"),
    # what is wrong with a behavior
    N_("'{text}' is not a behavior; a colon follows the kind, as in {form}"),
    N_("'{text}' is not a behavior; the nearest is {near}; expected one of {names}"),
    N_("'{text}' is not a behavior; expected one of {names}"),
    N_("a behavior must have at most {number} characters"),
    N_("'{text}' names no behavior; expected {form}"),
    *(N_("{name} has no parameter '{text}'; expected {names}"), N_("{name} lacks a value; expected {form}")),
    N_("'{text}' is neither a port nor ADDRESS:PORT; expected PORT, *:PORT, ADDRESS:PORT or [IPv6]:PORT"),
    *(N_("{name} is given twice"), N_("must be a probability from 0 to 1, as in 0.5")),
    *(N_("must be a time from {low} to {high} s"), N_("must be at least 1 byte"), N_("must be at least {low} bytes")),
    N_("must be a whole number from {low} to {high}"),
    N_("id and ended name one connection, so only a client can give them"),
    *(N_("{text}: this address is given twice"), N_("port 0 names no listener; expected the port of one")),
    *(N_("no listener of --behave on {address}"), N_("cannot listen on {address}: {reason}")),
    *(N_("more than {number} listeners of --behave"), N_("the daemon is stopping")),
    # why a listener cannot be opened
    *(N_("another socket holds the port; find it: {command}"), N_("this daemon itself serves {address}")),
    N_("open connections have this local port, until they end: {number}; find it: {command}"),
    N_("closed connections have this local port, in TIME_WAIT for {seconds} s more: {number}; find it: {command}"),
    *(N_("another socket is bound to the port, and does not listen"), N_("this host does not have the address")),
    N_("ports below 1024 need CAP_NET_BIND_SERVICE, or root"),
    *_SOCKOPT_ERRORS,
    N_("{name} has no effect on {target}"),
    # health and clock
    *(N_("no answer within {seconds} s"), N_("wrong answer"), N_("another socket answered"), N_("the port is closed")),
    *(N_("the socket does not listen any more"), N_("the socket was shut down"), N_("not synchronized")),
    *(N_("other processes serve the same socket"), N_("other sockets may share the port (SO_REUSEPORT)")),
    *(N_("synchronized, maximum error {seconds} s"), N_("unknown: {reason}")),
    # notes on socket options
    *(N_("too late: it must be set {deadline}"), N_("it cannot be read back: {reason}")),
    *(N_("{note}; warning: {hazard}"), N_("warning: {hazard}")),
    # names of sockets and operators, values
    *(N_("connection {number}"), N_("{name} (pid {pid})"), N_("LISTEN, {pending} pending, limit {limit}")),
    # the rest, in parts
    *("{reason}; needs {privilege}", "{reason}; existing interfaces: {names}", "{reason} ({name})", _LABELED),
)
"""What a daemon sends, most of it with fields. More specific texts come first."""
NOTES = (
    "the kernel changed it",
    *dict.fromkeys(option.read_back_note.reason for option in BY_NAME.values() if option.read_back_note),
    *dict.fromkeys(option.hazard.warning for option in BY_NAME.values() if option.hazard),
)
"""Notes on socket options, none of them with fields."""
PARTS = (
    *(assignment.EXPECTED, assignment.EXPECTED_NAME, RawValue.expected),
    *dict.fromkeys(option.value_type.expected for option in BY_NAME.values()),
    *dict.fromkeys(option.privilege.required for option in BY_NAME.values() if option.privilege),
    *(each.value for each in SetDeadline),
    *("a reply must not exceed {limit} bytes", "{character} cannot be written in {encoding}"),
    *(os.strerror(number) for number in errno.errorcode),
)
"""Texts that stand in the fields of others, or that only the page for operators translates."""
_NUMBERS = frozenset({"low", "high", "pid"})
_LISTS = frozenset({"names", "others"})


def _compile(template: str) -> re.Pattern[str]:
    def group(field: re.Match[str]) -> str:
        return f"(?P<{field[1]}>{'-?[0-9]+' if field[1] in _NUMBERS else '.+?'})"

    return re.compile(re.sub(r"\\{(\w+)\\}", group, re.escape(template)))


_PATTERNS = [(_compile(template), template) for template in TEXTS if "{" in template]


def translate(text: str) -> str:
    """Return a daemon's text in the user's language, or unchanged if it is unknown."""
    translated = _(text) if text else ""
    if translated != text:
        return translated
    for pattern, template in _PATTERNS:
        if found := pattern.fullmatch(text):
            parts = {name: _translate_part(name, part) for name, part in found.groupdict().items()}
            is_known = template != _LABELED or parts["reason"] != found["reason"]
            return _(template).format(**parts) if is_known else text
    return text


def _translate_part(name: str, part: str) -> str:
    return part.replace(", ", _(", ")) if name in _LISTS else translate(part)


def translate_value(name: str, value: str) -> str:
    """Return the value of a read-only option in the user's language. Values that can be set stay as they are given."""
    option = BY_NAME.get(name)
    return value if option is None or option.settable else translate(value)
